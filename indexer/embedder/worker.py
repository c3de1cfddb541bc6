"""The embedder's own process: `python -m indexer.embedder.worker MODEL --threads N`.

llama.cpp is C++ that aborts on a failed assertion and whose context no two threads may share, so it lives here alone,
answers one request after the other over its standard streams, and ends when its parent does.

Texts are embedded one by one in a micro-batch no larger than the context: with flash attention that is faster than
packing several into one (MiniLM, 2 threads, passages of 128 tokens: 7,000 tokens/s one by one, 6,600 packed into 512
tokens, 3,100 packed into 2,048), because attention is computed over the whole micro-batch.

Queries that wait for one another are embedded one by one too. Together they would take less (1 thread, queries of 9
tokens: two 1.3 times, four and eight 1.5 times less), but have other vectors than alone, by a cosine of 0.9998: then
the order of two documents would depend on what others asked, and the next page might repeat or skip one.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

import llama_cpp
import numpy as np
import numpy.typing as npt

from indexer.embedder.families import prefixes_for
from indexer.embedder.protocol import (
    MAX_QUERY_TOKENS,
    CountTokens,
    Embed,
    ModelDescription,
    Refused,
    Response,
    TokenCounts,
    Vectors,
    encode_frame,
    read_frame,
    request_decoder,
)
from indexer.parent import die_with
from indexer.priority import step_back

MAX_CONTEXT_TOKENS: Final = 512
"""Memory and time of attention grow with its square, and passages are a quarter of this."""

_SELF_TEST: Final = ("how to read a file line by line", "a circuit breaker stops calling what keeps failing")
_MIN_SELF_COSINE: Final = 0.999
_UNIT_TOLERANCE: Final = 1e-3

Vector = npt.NDArray[np.float32]


class Model:
    """A GGUF embedding model in memory.

    Args:
        path: of the GGUF file.
        threads: how many to compute with.

    Raises:
        ValueError: it is no embedding model, or computes wrong vectors.
    """

    def __init__(self, path: Path, *, threads: int) -> None:
        self._llama = _load(path, threads=threads)
        self._limit = self._llama.n_ctx()
        metadata = self._llama.metadata
        prefixes = prefixes_for(metadata, path.stem)
        self.description = ModelDescription(
            name=metadata.get("general.name", path.stem),
            architecture=metadata.get("general.architecture", ""),
            dimensions=self._llama.n_embd(),
            context_tokens=self._limit,
            query_prefix=prefixes.query,
            document_prefix=prefixes.document,
        )
        self._self_test()

    def answer(self, request: CountTokens | Embed) -> Response:
        """Do what is asked."""
        match request:
            case CountTokens(texts=texts):
                return TokenCounts([self._count(text, marks=False) for text in texts])
            case Embed(texts=texts, shorten=shorten):
                return self._embedded(texts, shorten=shorten)

    def _embedded(self, texts: list[str], *, shorten: bool) -> Response:
        fitting = [self._shortened(text) for text in texts] if shorten else texts
        for text in () if shorten else texts:
            count = self._count(text, marks=True)
            if count > self._limit:
                return Refused(f"a text has {count} tokens, the model reads {self._limit}", too_long=True)
        vectors = np.array([self._vector(text) for text in fitting], dtype="<f4")
        return Vectors(vectors.tobytes(), shortened=fitting != texts)

    def _vector(self, text: str) -> Vector:
        raw = np.array(self._llama.embed(text), dtype=np.float32)
        length = float(np.linalg.norm(raw))
        return raw / length if length > 0 else raw

    def _count(self, text: str, *, marks: bool) -> int:
        return len(self._llama.tokenize(text.encode(), add_bos=marks))

    def _shortened(self, text: str) -> str:
        limit = min(self._limit, MAX_QUERY_TOKENS)
        while (count := self._count(text, marks=True)) > limit:
            text = text[: min(len(text) - 1, len(text) * limit // count)]
        return text

    def _self_test(self) -> None:
        """What a text gives must not depend on what was embedded with it or before it."""
        alone = [self._vector(text) for text in _SELF_TEST]
        packed = np.array(self._llama.embed(list(_SELF_TEST), normalize=True), dtype=np.float32)
        for single, together in zip(alone, packed, strict=True):
            if not np.isfinite(single).all() or abs(np.linalg.norm(single) - 1) > _UNIT_TOLERANCE:
                raise ValueError("the model gives vectors that are not finite or have no length")
            if float(single @ together) < _MIN_SELF_COSINE:
                raise ValueError("the model gives other vectors for several texts than for each alone")


def main() -> None:
    """Serve one model over standard input and output until the parent closes them."""
    arguments = _arguments()
    die_with(arguments.parent)
    step_back(arguments.steps_back, further=True)
    requests, responses = _take_streams()
    try:
        model = Model(arguments.model, threads=arguments.threads)
    except (ValueError, RuntimeError, OSError) as exc:
        _send(responses, Refused(f"{arguments.model} cannot be used: {exc}"))
        return
    with contextlib.suppress(BrokenPipeError):
        _send(responses, model.description)
        while (frame := read_frame(requests)) is not None:
            _send(responses, model.answer(request_decoder.decode(frame)))


def _load(path: Path, *, threads: int) -> Any:  # noqa: ANN401 - llama_cpp ships no types
    def load(context: int) -> Any:  # noqa: ANN401 - see above
        return llama_cpp.Llama(
            model_path=str(path),
            embedding=True,
            n_ctx=context,
            n_batch=context,
            n_ubatch=context,  # llama.cpp aborts when a text is longer than its micro-batch
            n_threads=threads,
            n_threads_batch=threads,
            flash_attn=True,
            verbose=False,
        )

    llama = load(MAX_CONTEXT_TOKENS)
    architecture = llama.metadata.get("general.architecture")
    trained = int(llama.metadata.get(f"{architecture}.context_length", MAX_CONTEXT_TOKENS))
    if trained >= MAX_CONTEXT_TOKENS:
        return llama
    llama.close()
    return load(trained)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="embed-search embedder")
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps-back", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    return parser.parse_args()


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for frames alone; whatever else llama.cpp prints goes to standard error."""
    responses = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.buffer, responses


def _send(stream: BinaryIO, message: Response) -> None:
    stream.write(encode_frame(message))
    stream.flush()


if __name__ == "__main__":
    main()
