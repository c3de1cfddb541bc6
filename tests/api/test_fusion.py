"""Fusion: one order out of several rankings."""

from itertools import pairwise
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.fusion import DEFAULT_WEIGHTS, TIERS, FusionRule, Rankings, depth_for, fuse
from indexer.backend import Hit
from streams.document import DocumentId

_IDS = st.sampled_from([f"d{number}" for number in range(12)])
_SCORES = st.floats(-1e6, 1e6, allow_nan=False)


def _ranking(scores: dict[str, float]) -> list[Hit]:
    return [
        Hit(DocumentId(name), score) for name, score in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


_RANKINGS = st.dictionaries(st.sampled_from(sorted(DEFAULT_WEIGHTS)), st.dictionaries(_IDS, _SCORES).map(_ranking))
_RULES = st.builds(
    FusionRule,
    kind=st.sampled_from(["rrf", "linear"]),
    k=st.integers(1, 1000),
    weights=st.fixed_dictionaries(dict.fromkeys(sorted(DEFAULT_WEIGHTS), st.floats(0, 1000))),
)


def _long(prefix: str, length: int, *, shared: int = 0) -> list[Hit]:
    """A ranking whose hits are its own but for every `shared`-th, which all such rankings have."""
    names = [f"shared{rank}" if shared and rank % shared == 0 else f"{prefix}{rank}" for rank in range(length)]
    return [Hit(DocumentId(name), float(length - rank)) for rank, name in enumerate(names)]


def test_rrf_is_the_sum_of_weight_over_k_plus_rank() -> None:
    """A document's score is what the formula of the paper gives."""
    rankings = {"bm25": _ranking({"a": 9, "b": 5}), "semantic": _ranking({"b": 0.9})}
    fused = fuse(rankings, FusionRule(k=60, weights={"bm25": 1.0, "semantic": 1.5}))
    assert [(hit.id, hit.score) for hit in fused] == [("b", fsum([1 / 62, 1.5 / 61])), ("a", 1 / 61)]
    assert fused[0].methods["semantic"].rank == 1
    assert fused[0].methods["bm25"].contribution == 1 / 62


def test_linear_scales_each_ranking_to_zero_and_one() -> None:
    """Scores of methods with other scales count alike."""
    rankings = {"bm25": _ranking({"a": 30, "b": 20, "c": 10}), "semantic": _ranking({"c": 0.9, "a": 0.1})}
    fused = fuse(rankings, FusionRule(kind="linear", weights={"bm25": 1.0, "semantic": 1.0}))
    assert [(hit.id, hit.score) for hit in fused] == [("a", 1.0), ("c", 1.0), ("b", 0.5)]


def test_equal_scores_scale_to_one() -> None:
    """A method that cannot tell its hits apart still counts for them."""
    fused = fuse({"native": _ranking({"a": 1, "b": 1})}, FusionRule(kind="linear"))
    assert [(hit.id, hit.score) for hit in fused] == [("a", 1.0), ("b", 1.0)]


@given(_RANKINGS, _RULES)
def test_order_of_the_methods_does_not_matter(rankings: Rankings, rule: FusionRule) -> None:
    """Which backend answered first changes nothing."""
    backwards = dict(reversed(list(rankings.items())))
    assert [(hit.id, hit.score) for hit in fuse(rankings, rule)] == [
        (hit.id, hit.score) for hit in fuse(backwards, rule)
    ]


@given(_RANKINGS, _RULES)
def test_best_first_and_ties_by_id(rankings: Rankings, rule: FusionRule) -> None:
    """The order is total and the same every time."""
    keys = [(-hit.score, hit.id) for hit in fuse(rankings, rule)]
    assert keys == sorted(keys)


@given(_RANKINGS, _RULES)
def test_every_document_once_and_contributions_add_up(rankings: Rankings, rule: FusionRule) -> None:
    """No document is lost or doubled, and its score is the sum of what the methods say."""
    fused = fuse(rankings, rule)
    found = [hit.id for hit in fused]
    assert sorted(found) == sorted({hit.id for hits in rankings.values() for hit in hits})
    for hit in fused:
        assert hit.score == fsum(part.contribution for part in hit.methods.values())
        assert set(hit.methods) == {name for name, hits in rankings.items() if hit.id in {one.id for one in hits}}


def test_a_page_is_a_part_of_the_list_and_knows_the_passages() -> None:
    """Only what is shown is written out, and reads the same; a passage comes from the method that knows of one."""
    found = Hit(DocumentId("b"), 0.9, passage=(40, 80))
    fused = fuse({"semantic": [found], "bm25": _ranking({"a": 9, "b": 5, "c": 1})}, FusionRule())
    assert [hit.id for hit in fused[1:]] == [hit.id for hit in fused][1:]
    assert {hit.id: hit.passage for hit in fused} == {"a": None, "b": (40, 80), "c": None}
    assert fused[-1] == list(fused)[-1]


@given(_RANKINGS, st.integers(1, 1000))
def test_a_method_without_weight_does_not_move_the_others(rankings: Rankings, k: int) -> None:
    """Weight 0 takes a method out of the order, not its documents out of the list."""
    rest = {name: hits for name, hits in rankings.items() if name != "bm25"}
    rule = FusionRule(k=k, weights={**DEFAULT_WEIGHTS, "bm25": 0.0})
    with_it = [hit.id for hit in fuse(rankings, rule) if set(hit.methods) != {"bm25"}]
    assert with_it == [hit.id for hit in fuse(rest, rule)]


@pytest.mark.parametrize("kind", ["rrf", "linear"])
def test_deeper_rankings_keep_the_order_of_the_tiers_before(kind: str) -> None:
    """A page is the same however deep the rankings behind it were read, so pages neither overlap nor skip."""
    full = {"bm25": _long("a", 10_000, shared=7), "semantic": list(_long("b", 10_000, shared=5))}
    rule = FusionRule(kind="linear" if kind == "linear" else "rrf")
    orders = [[hit.id for hit in fuse({m: hits[:tier] for m, hits in full.items()}, rule)] for tier in TIERS]
    for shallow, deep in pairwise(orders):
        assert deep[: len(shallow)] == shallow


@pytest.mark.parametrize(("end", "depth"), [(1, 200), (200, 200), (201, 2_000), (2_001, 10_000), (10_000, 10_000)])
def test_depth_covers_the_page(end: int, depth: int) -> None:
    """The rankings are read at least as deep as the page ends."""
    assert depth_for(end) == depth
