"""Where set-up keeps what it made, shared by all clones of one user on one machine."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_INFRA = Path(__file__).parents[1]
KAFKA_POM = _INFRA / "kafka" / "pom.xml"
BUILD_CONSTRAINTS = _INFRA / "setup" / "build-constraints.txt"
LOCK = _INFRA.parent / "uv.lock"
KAFKA_JARS_PINNED = _INFRA / "kafka" / "jars.sha256"

HOW_TO_SET_UP: Final = "run `make setup` (`embed-search setup` outside a checkout)"
"""For messages about something that is not there."""


class Artifacts:
    """The files that set-up provides; a path here exists once `python -m infra.setup` has succeeded.

    Args:
        root: the cache directory, see `cache_directory`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def kafka_jars(self) -> Path:
        """Directory of the jars that `infra/kafka/jars.sha256` pins; another list gets another directory."""
        return self.root / "kafka" / hashlib.sha256(KAFKA_JARS_PINNED.read_bytes()).hexdigest()[:16]

    @property
    def model(self) -> Path:
        """The default embedding model; the number in its name changes with the converter's output."""
        return self.root / "models" / "all-minilm-l6-v2.q8_0.v1.gguf"

    @property
    def wheels(self) -> Path:
        """Directory of wheels built on this machine, one sub-directory per processor they were built for."""
        return self.root / "wheels"

    @property
    def downloads(self) -> Path:
        """Directory of downloads under way; empty once set-up is done."""
        return self.root / "downloads"


def cache_directory(environment: Mapping[str, str]) -> Path:
    """The cache directory that these environment variables ask for.

    `EMBED_SEARCH_CACHE_DIR`, else `embed-search` under `XDG_CACHE_HOME`, else under `~/.cache`.
    """
    own = environment.get("EMBED_SEARCH_CACHE_DIR")
    if own:
        return Path(own).expanduser().absolute()
    shared = environment.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path("~/.cache").expanduser()) / "embed-search"
