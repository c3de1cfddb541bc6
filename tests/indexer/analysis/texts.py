"""Texts that are hard to take apart, for property tests."""

from hypothesis import strategies as st

MIXED = st.text(
    alphabet=st.one_of(st.sampled_from("aAbB01_ -.'é\u0301ßﬁ東京한ｶΣי\u0939\u093f½ⅣＡ"), st.characters()), max_size=40
)
