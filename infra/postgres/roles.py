"""Makes the roles of the database: what each may do is in `roles.sql`, which can be run by hand as well."""

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from indexer.semantic.schema import TABLE_OF_GENERATIONS

WRITER: Final = "embed_search_writer"
READER: Final = "embed_search_reader"
ROLES: Final = (WRITER, READER)

_CONNECT_WITHIN: Final = 10.0
_WORK_WITHIN: Final = 60.0
_PASSWORD_BYTES: Final = 24
_ITERATIONS: Final = 4_096
_SALT_BYTES: Final = 16


def roles_script() -> str:
    """All SQL, without passwords: tables that everybody shares, then roles and what they may do."""
    return f"{TABLE_OF_GENERATIONS}\n{files('infra.postgres').joinpath('roles.sql').read_text()}"


async def make_roles(owner_url: str, passwords: Mapping[str, str]) -> None:
    """Make the roles, or bring them up to date, in one transaction.

    Args:
        owner_url: the database, as its owner.
        passwords: to set, by role; a role that is not named keeps its own.

    Raises:
        asyncpg.PostgresError: the database refused.
        OSError: it does not answer.
    """
    connection = await asyncpg.connect(owner_url, timeout=_CONNECT_WITHIN)
    try:
        async with connection.transaction():
            await connection.execute(roles_script(), timeout=_WORK_WITHIN)
            for role, password in passwords.items():
                # A statement with the password itself could end up in the server's log.
                await connection.execute(f"ALTER ROLE {role} PASSWORD '{scram_verifier(password)}'")
    finally:
        await connection.close(timeout=_CONNECT_WITHIN)


async def roles_that_are_there(owner_url: str) -> frozenset[str]:
    """Which of the roles were made before.

    Raises:
        asyncpg.PostgresError: the database refused.
        OSError: it does not answer.
    """
    connection = await asyncpg.connect(owner_url, timeout=_CONNECT_WITHIN)
    try:
        rows = await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY($1)", list(ROLES))
    finally:
        await connection.close(timeout=_CONNECT_WITHIN)
    return frozenset(row["rolname"] for row in rows)


def make_password() -> str:
    """A new password, which needs no quotes anywhere."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def url_of_role(owner_url: str, role: str, password: str) -> str:
    """The same database, as a role."""
    parts = urlsplit(owner_url)
    hosts = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{hosts}"))


def scram_verifier(password: str) -> str:
    """What the server keeps of a password of ASCII, SCRAM-SHA-256 (RFC 5803); the password cannot be had from it."""
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    client, server = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    stored = hashlib.sha256(client).digest()
    encoded = (b64encode(value).decode() for value in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ITERATIONS, *encoded)
