"""Fetches a pinned file: continues where an earlier try stopped, and keeps nothing whose checksum is wrong."""

import hashlib
from pathlib import Path

import httpx
import msgspec

from indexer.durable import sync_directory
from infra.setup.errors import SetupError
from infra.setup.report import Advance

_CHUNK = 1 << 20
_TIMEOUT = httpx.Timeout(60.0)


class PinnedFile(msgspec.Struct, frozen=True):
    """A file that is exactly known.

    Args:
        url: where it is.
        sha256: its checksum, hexadecimal.
        size: its size in bytes.
    """

    url: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """Its file name."""
        return self.url.rpartition("/")[2]


def fetch(file: PinnedFile, directory: Path, advance: Advance) -> Path:
    """Have a file in a directory.

    Args:
        file: what to fetch.
        directory: where to; made when missing.
        advance: told the progress.

    Returns:
        The complete, checked file.

    Raises:
        SetupError: it cannot be reached, or is not what it should be.
    """
    directory.mkdir(parents=True, exist_ok=True)
    complete = directory / file.name
    if complete.exists():
        return complete
    partial = directory / f"{file.name}.part"
    try:
        _receive(file, partial, advance)
    except httpx.HTTPError as exc:
        raise SetupError(f"cannot download {file.url} ({exc}): check the network and run it again") from exc
    if _sha256(partial) != file.sha256:
        partial.unlink()
        raise SetupError(f"{file.url} does not have the checksum that is pinned for it: run it again")
    partial.rename(complete)
    sync_directory(directory)
    return complete


def _receive(file: PinnedFile, partial: Path, advance: Advance) -> None:
    """Append what is missing to the partial file."""
    have = partial.stat().st_size if partial.exists() else 0
    if have == file.size:
        return
    if have > file.size:
        partial.unlink()
        have = 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with httpx.stream("GET", file.url, headers=headers, timeout=_TIMEOUT, follow_redirects=True) as response:
        response.raise_for_status()
        continues = response.status_code == httpx.codes.PARTIAL_CONTENT
        received = have if continues else 0
        with partial.open("ab" if continues else "wb") as output:
            for chunk in response.iter_bytes(_CHUNK):
                output.write(chunk)
                received += len(chunk)
                advance(received / file.size, f"{received >> 20} of {file.size >> 20} MB")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
