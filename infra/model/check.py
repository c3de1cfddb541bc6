"""Proves that a model file embeds as the original weights do: `python -m infra.model.check FILE`.

A program of its own because llama.cpp aborts the whole process on a file that it cannot digest. The reference vectors
were made by a float32 forward pass in numpy, which `tests/infra/test_model.py` repeats.
"""

import sys
from pathlib import Path

import llama_cpp
import msgspec
import numpy as np

REFERENCE = Path(__file__).with_name("reference.json")
LEAST_COSINE = 0.99

_CONTEXT_TOKENS = 512


class Reference(msgspec.Struct, frozen=True):
    """A text and its embedding by the original weights: shape (384,), length 1."""

    text: str
    vector: list[float]


def references() -> list[Reference]:
    """The known embeddings."""
    return msgspec.json.decode(REFERENCE.read_bytes(), type=list[Reference])


def least_cosine(model: Path) -> float:
    """The cosine between the model's embedding and the reference, for the text where they differ most."""
    llama = llama_cpp.Llama(
        model_path=str(model),
        embedding=True,
        n_ctx=_CONTEXT_TOKENS,
        n_batch=_CONTEXT_TOKENS,
        n_ubatch=_CONTEXT_TOKENS,  # a longer input than this would abort the process
        verbose=False,
    )
    try:
        return min(_cosine(llama.embed(reference.text), reference.vector) for reference in references())
    finally:
        llama.close()


def _cosine(left: list[float], right: list[float]) -> float:
    return float(np.dot(left, right) / (np.linalg.norm(left) * np.linalg.norm(right)))


def main() -> None:
    """Print the least cosine; exit 1 when it is too small."""
    cosine = least_cosine(Path(sys.argv[1]))
    print(f"cosine to the reference {cosine:.4f}, at least {LEAST_COSINE} wanted")  # noqa: T201 - this is its output
    sys.exit(0 if cosine >= LEAST_COSINE else 1)


if __name__ == "__main__":
    main()
