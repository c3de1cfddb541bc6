"""API keys: `prefix.secret`, kept as hashes in a file that may change under a running server.

A secret is 256 bits of chance, so a fast hash keeps it: there is nothing to guess (slow hashes are for passwords).
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog

from api.access.scopes import Scope
from indexer.deadline import Clock
from indexer.durable import replace_file
from streams.errors import SettingsError

RECHECK_SECONDS: Final = 1.0
"""How long a change of the file may go unseen."""

_PREFIX_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_OTHERS_MAY_WRITE: Final = 0o022
_DUMMY: Final = hashlib.sha256(b"").hexdigest()

WallClock = Callable[[], datetime]

_log = structlog.stdlib.get_logger(__name__)


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key as the file has it; nobody can make the key from this.

    Attributes:
        prefix: the key's first part, which names it in logs.
        secret_sha256: of the second part, hex.
        name: whose it is, or what for.
        scopes: what it may do.
        expires_at: from when on it is worth nothing; None for never.
    """

    prefix: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$")]
    secret_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    name: str
    scopes: frozenset[Scope]
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class KeyList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file, JSON."""

    keys: tuple[ApiKey, ...] = ()


def utc_now() -> datetime:
    """The time of day, by which keys expire."""
    return datetime.now(UTC)


def make_key(name: str, scopes: frozenset[Scope], lifetime: timedelta | None, now: datetime) -> tuple[ApiKey, str]:
    """A new key: what to keep of it, and the key itself, which is nowhere else."""
    prefix, secret = secrets.token_hex(_PREFIX_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    expires_at = now + lifetime if lifetime else None
    return ApiKey(prefix, _sha256(secret), name, scopes, expires_at), f"{prefix}.{secret}"


def read_keys(path: Path) -> KeyList:
    """Read the file.

    Raises:
        SettingsError: it cannot be read, is not a list of keys, or others than its owner may write it.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS_MAY_WRITE:
                raise SettingsError(f"key file {path} may be written by others than its owner: chmod 600 it")
            return msgspec.json.decode(file.read(), type=KeyList)
    except (OSError, msgspec.DecodeError, UnicodeError) as exc:
        raise SettingsError(f"key file {path} cannot be read: {exc}") from exc


def write_keys(path: Path, keys: KeyList) -> None:
    """Replace the file, for its owner's eyes only."""
    former = os.umask(0o077)
    try:
        replace_file(path, msgspec.json.format(msgspec.json.encode(keys)))
    finally:
        os.umask(former)


class KeyRing:
    """The keys that hold now; follows the file, and keeps the former keys while the file is broken.

    Args:
        path: of the file; None when there are no keys.
        clock: a monotonic clock, paces the looks at the file.
        now: by which keys expire.
    """

    def __init__(self, path: Path | None, *, clock: Clock, now: WallClock = utc_now) -> None:
        self._path = path
        self._clock = clock
        self._now = now
        self._keys: Mapping[str, ApiKey] = {}
        self._version: tuple[int, ...] | None = None
        self._checked = -RECHECK_SECONDS
        self._began = clock()

    def find(self, presented: str) -> ApiKey | None:
        """The key that was presented; None when there is no such key, or no longer.

        Takes as long for an unknown prefix as for a wrong secret.
        """
        self._follow()
        prefix, _, secret = presented.partition(".")
        key = self._keys.get(prefix)
        genuine = hmac.compare_digest(_sha256(secret), key.secret_sha256 if key else _DUMMY)
        if key is None or not genuine:
            return None
        return None if key.expires_at and key.expires_at <= self._now() else key

    def _follow(self) -> None:
        elapsed = self._clock() - self._began
        if self._path is None or elapsed - self._checked < RECHECK_SECONDS:
            return
        self._checked = elapsed
        version = _version(self._path)
        if version != self._version:
            self._version = version
            self._read(self._path)

    def _read(self, path: Path) -> None:
        try:
            self._keys = {key.prefix: key for key in read_keys(path).keys}
        except SettingsError as exc:
            _log.error("key file is broken, the former keys hold", error=str(exc), keys=len(self._keys))
        else:
            _log.info("keys read", keys=len(self._keys))


def _version(path: Path) -> tuple[int, ...]:
    """Differs whenever the file was replaced, written or given other rights."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
