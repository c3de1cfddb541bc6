"""One check a thing that the system needs; a check never raises, it finds."""

import importlib.metadata
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, Literal

import asyncpg
import msgspec

from infra.setup.artifacts import HOW_TO_SET_UP, Artifacts
from infra.supervisor.ports import require_free_port
from infra.supervisor.service import StartError
from streams.cluster import kafka_cluster
from streams.errors import SettingsError, StreamUnavailable
from streams.settings import Settings
from streams.topics import read_offsets

Verdict = Literal["ok", "warning", "broken"]

_LEAST_JAVA: Final = 17
_TIMEOUT_SECONDS: Final = 10.0


class Finding(msgspec.Struct, frozen=True):
    """What a check found.

    Attributes:
        subject: what was looked at.
        verdict: `broken` keeps the system from working, `warning` does not.
        detail: what was found.
        mend: what to do about it; empty when nothing.
    """

    subject: str
    verdict: Verdict
    detail: str
    mend: str = ""


async def examine(settings: Settings, artifacts: Artifacts) -> list[Finding]:
    """Look at everything, in the order in which it is needed."""
    return [
        Finding("python", "ok", platform.python_version()),
        _packages(),
        *([_java(), _kafka_jars(artifacts)] if settings.kafka_bootstrap_servers is None else []),
        await _kafka(settings),
        await _database(settings),
        _model(settings.model_path or artifacts.model),
        _data_directory(settings),
        _port(settings),
    ]


def _packages() -> Finding:
    try:
        version = importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        return Finding("llama-cpp-python", "broken", "is not installed", HOW_TO_SET_UP)
    return Finding("llama-cpp-python", "ok", version)


def _java() -> Finding:
    java = shutil.which("java")
    mend = f"install a JDK {_LEAST_JAVA} or newer (Debian: apt-get install openjdk-17-jdk-headless)"
    if java is None:
        return Finding("java", "broken", "is not installed", mend)
    try:
        output = subprocess.run(  # noqa: S603 - the java of the user's PATH, with a fixed argument
            [java, "-version"], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True
        ).stderr
    except (subprocess.SubprocessError, OSError) as exc:
        return Finding("java", "broken", f"does not run: {exc}", mend)
    found = re.search(r'version "(\d+)', output)
    version = int(found[1]) if found else 0
    if version < _LEAST_JAVA:
        return Finding("java", "broken", f"is version {version or 'unknown'}", mend)
    return Finding("java", "ok", str(version))


def _kafka_jars(artifacts: Artifacts) -> Finding:
    if artifacts.kafka_jars.is_dir():
        return Finding("kafka jars", "ok", str(artifacts.kafka_jars))
    return Finding("kafka jars", "broken", "are not fetched", HOW_TO_SET_UP)


async def _kafka(settings: Settings) -> Finding:
    if settings.kafka_bootstrap_servers is None:
        return Finding("kafka", "ok", "`up` starts its own")
    try:
        offsets = await read_offsets(kafka_cluster(settings), settings.topic)
    except (StreamUnavailable, SettingsError) as exc:
        return Finding("kafka", "broken", str(exc), "check KAFKA_BOOTSTRAP_SERVERS; indexers create the topic")
    return Finding("kafka", "ok", f"topic {settings.topic} has {len(offsets.end)} partitions")


async def _database(settings: Settings) -> Finding:
    if "semantic" not in settings.indexes:
        return Finding("postgresql", "ok", "is not needed: the index semantic is left out")
    if settings.database_url is None:
        return Finding("postgresql", "ok", "`up` starts its own")
    try:
        connection = await asyncpg.connect(settings.database_url.get_secret_value(), timeout=_TIMEOUT_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as exc:
        return Finding("postgresql", "broken", f"does not answer: {exc}", "check DATABASE_URL")
    try:
        known = await connection.fetchval(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'", timeout=_TIMEOUT_SECONDS
        )
    finally:
        await connection.close(timeout=_TIMEOUT_SECONDS)
    if known is None:
        return Finding("postgresql", "broken", "lacks the extension pgvector", "install pgvector on the server")
    return Finding("postgresql", "ok", f"with pgvector {known}")


def _model(path: Path) -> Finding:
    if not path.is_file():
        return Finding("embedding model", "broken", f"is not at {path}", f"{HOW_TO_SET_UP}, or set MODEL_PATH")
    return Finding("embedding model", "ok", f"{path} ({path.stat().st_size / 1e6:.0f} MB)")


def _data_directory(settings: Settings) -> Finding:
    directory = settings.data_dir
    existing = next(parent for parent in (directory.absolute(), *directory.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < settings.disk_free_bytes:
        detail = f"{existing} has only {free >> 20} MB free"
        return Finding("data directory", "broken", detail, "free some space, or set EMBED_SEARCH_DATA_DIR")
    return Finding("data directory", "ok", f"{directory.absolute()}, {free >> 30} GB free")


def _port(settings: Settings) -> Finding:
    try:
        require_free_port(settings.port, purpose="the API", option="EMBED_SEARCH_PORT", host=settings.host)
    except StartError as exc:
        return Finding("port", "warning", str(exc), "nothing, if that is this system running")
    return Finding("port", "ok", f"{settings.port} is free")
