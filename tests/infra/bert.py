"""A BERT sentence encoder in plain numpy, float32: slow, short, and independent of llama.cpp and of the converter.

Sources: Devlin et al. 2018 (BERT); Reimers and Gurevych 2019 (mean pooling); WordPiece as in the BERT reference code.
"""

import math
import re
import unicodedata
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float32]

_erf = np.vectorize(math.erf)


def tokenize(text: str, ids: Mapping[str, int]) -> list[int]:
    """WordPiece ids of a text, lowercased and without accents, with [CLS] and [SEP] around them."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    pieces = [piece for word in re.findall(r"\w+|[^\w\s]", plain) for piece in _pieces(word, ids)]
    return [ids[token] for token in ["[CLS]", *pieces, "[SEP]"]]


def _pieces(word: str, ids: Mapping[str, int]) -> list[str]:
    pieces: list[str] = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in ids)
        end = next(ends, None)
        if end is None:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def embed(tokens: list[int], weights: Mapping[str, Tensor], *, layers: int, heads: int) -> Tensor:
    """The sentence embedding, shape (hidden,), length 1."""
    hidden = weights["embeddings.word_embeddings.weight"][tokens]
    hidden = hidden + weights["embeddings.position_embeddings.weight"][: len(tokens)]
    hidden = hidden + weights["embeddings.token_type_embeddings.weight"][0]
    hidden = _normalise(hidden, weights, "embeddings.LayerNorm")
    for layer in range(layers):
        hidden = _block(hidden, weights, f"encoder.layer.{layer}", heads)
    mean = hidden.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def _block(hidden: Tensor, weights: Mapping[str, Tensor], layer: str, heads: int) -> Tensor:
    attended = _attend(hidden, weights, layer, heads)
    attended = _linear(attended, weights, f"{layer}.attention.output.dense")
    hidden = _normalise(hidden + attended, weights, f"{layer}.attention.output.LayerNorm")
    inner = _linear(hidden, weights, f"{layer}.intermediate.dense")
    activated = (inner * 0.5 * (1.0 + _erf(inner / math.sqrt(2.0)))).astype(np.float32)  # GELU
    return _normalise(
        hidden + _linear(activated, weights, f"{layer}.output.dense"), weights, f"{layer}.output.LayerNorm"
    )


def _attend(hidden: Tensor, weights: Mapping[str, Tensor], layer: str, heads: int) -> Tensor:
    query, key, value = (
        _split(_linear(hidden, weights, f"{layer}.attention.self.{part}"), heads) for part in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
    return np.asarray(mixed.transpose(1, 0, 2).reshape(hidden.shape))


def _split(hidden: Tensor, heads: int) -> Tensor:
    """From (tokens, hidden) to (heads, tokens, hidden / heads)."""
    return hidden.reshape(len(hidden), heads, -1).transpose(1, 0, 2)


def _linear(hidden: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    return np.asarray(hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])


def _normalise(hidden: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])
