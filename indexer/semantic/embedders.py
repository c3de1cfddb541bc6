"""The embedders of one indexer: each model in one process, whichever generations it fills."""

from pathlib import Path
from typing import Self

import msgspec

from indexer.embedding import EmbedderOptions, EmbedderProcess, EmbeddingFault
from indexer.errors import GenerationUnusable
from indexer.semantic.recent_vectors import RecentVectors
from indexer.semantic.schema import SemanticGeneration


class Embedders:
    """Starts a model when it is wanted first, and keeps it. An asynchronous context manager, which ends them all.

    Args:
        options: of the model of the settings, and how to run any other.
    """

    def __init__(self, options: EmbedderOptions) -> None:
        self._options = msgspec.structs.replace(options, model=options.model.absolute())
        self._running: dict[Path, EmbedderProcess] = {}
        self._recent: dict[Path, RecentVectors] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for embedder in self._running.values():
            await embedder.close()

    async def default(self) -> EmbedderProcess:
        """The model of the settings.

        Raises:
            EmbeddingFault: it cannot be used.
        """
        return await self._at(self._options.model)

    async def of(self, generation: SemanticGeneration) -> EmbedderProcess:
        """The model that a generation was built with: that of the settings, or the one at the place it had then.

        Raises:
            GenerationUnusable: it is at neither.
        """
        places = _places(generation, self._options.model)
        for place in places:
            try:
                embedder = await self._at(place)
            except EmbeddingFault:
                continue
            if embedder.description.sha256 == generation.settings.model_sha256:
                return embedder
        raise GenerationUnusable(
            f"index semantic: generation {generation.name} was built with the model {generation.settings.model_name}"
            f" (SHA-256 {generation.settings.model_sha256}), which is not at {' or '.join(map(str, places))};"
            " rebuild the index, or put the model back"
        )

    def recent(self, embedder: EmbedderProcess) -> RecentVectors:
        """What one of them embedded lately, for all generations that it fills."""
        return self._recent.setdefault(embedder.model_path, RecentVectors(embedder))

    async def _at(self, path: Path) -> EmbedderProcess:
        if path not in self._running:
            self._running[path] = await EmbedderProcess.start(msgspec.structs.replace(self._options, model=path))
        return self._running[path]


def place_of_model(generation: SemanticGeneration, of_settings: Path) -> Path:
    """Where the model of a generation is most likely: where it was then, if a file is there, or where settings say."""
    return next((place for place in _places(generation, of_settings) if place.is_file()), of_settings)


def _places(generation: SemanticGeneration, of_settings: Path) -> list[Path]:
    recorded = [Path(generation.model_path)] if generation.model_path else []
    return list(dict.fromkeys([*recorded, of_settings]))
