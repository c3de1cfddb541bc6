"""Rules that keep a password from being sent in clear text by mistake, and a setting of security from having no effect.

They look at settings alone. Whether a broker or a database is who it says it is, its certificate tells on connecting.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

SASL_PROTOCOLS: Final = frozenset({"SASL_PLAINTEXT", "SASL_SSL"})
TLS_PROTOCOLS: Final = frozenset({"SSL", "SASL_SSL"})

_SCHEMES: Final = frozenset({"postgresql", "postgres"})
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_UNDECIDED: Final = frozenset({"", "allow", "prefer"})
"""Modes of libpq that go on without TLS when the other side, or whoever is in between, says that it has none."""


def check_database_url(url: str) -> None:
    """Refuse a URL that would send its password in clear text without saying so, or that nobody can connect with.

    Raises:
        ValueError: what is wrong with it, without repeating it.
    """
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise ValueError("is not a URL") from exc
    if parts.scheme not in _SCHEMES:
        raise ValueError("must begin with postgresql://")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    account, _, hosts = parts.netloc.rpartition("@")
    mode = query.get("sslmode", os.environ.get("PGSSLMODE", ""))
    if mode and mode not in _MODES:
        raise ValueError(f"sslmode must be one of {', '.join(_MODES)}")
    if absent := [name for name in _FILES if name in query and not Path(query[name]).is_file()]:
        raise ValueError(f"{absent[0]} names no file")
    if not (":" in account or "password" in query) or mode not in _UNDECIDED:
        return
    for host in (query.get("host") or hosts).split(","):
        if not is_loopback(host):
            raise ValueError(
                f"could send its password to {host} in clear text: add sslmode=verify-full and sslrootcert=FILE to it,"
                " or sslmode=disable if that network is trusted"
            )


def check_kafka(settings: Mapping[str, object], names: Mapping[str, str]) -> None:
    """Refuse settings of Kafka that contradict each other.

    Args:
        settings: values by field, None where not set.
        names: environment variable by field.

    Raises:
        ValueError: naming the settings.
    """
    protocol = str(settings["kafka_security_protocol"])
    for fields, wanted in (
        (("kafka_sasl_user", "kafka_sasl_password", "kafka_sasl_password_file"), SASL_PROTOCOLS),
        (("kafka_ca_file", "kafka_certificate_file", "kafka_key_file"), TLS_PROTOCOLS),
    ):
        idle = [names[field] for field in fields if settings[field] is not None]
        if idle and protocol not in wanted:
            needed = " or ".join(sorted(wanted))
            raise ValueError(f"{idle[0]} has no effect: it needs {names['kafka_security_protocol']}={needed}")
    if protocol != "PLAINTEXT" and settings["kafka_bootstrap_servers"] is None:
        raise ValueError(f"{names['kafka_security_protocol']}={protocol} needs {names['kafka_bootstrap_servers']}")
    if protocol in SASL_PROTOCOLS:
        _check_sasl(settings, names)
    if settings["kafka_key_file"] is not None and settings["kafka_certificate_file"] is None:
        raise ValueError(f"{names['kafka_key_file']} needs {names['kafka_certificate_file']}")


def is_loopback(address: str) -> bool:
    """Whether `host` or `host:port` is this machine for sure; an empty one and a path are a local socket."""
    if address.startswith("/"):
        return True
    try:
        host = SplitResult("", address, "", "", "").hostname or ""
        return host in {"", "localhost"} or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _check_sasl(settings: Mapping[str, object], names: Mapping[str, str]) -> None:
    given = [field for field in ("kafka_sasl_password", "kafka_sasl_password_file") if settings[field] is not None]
    protocol = f"{names['kafka_security_protocol']}={settings['kafka_security_protocol']}"
    if settings["kafka_sasl_user"] is None:
        raise ValueError(f"{protocol} needs {names['kafka_sasl_user']}")
    if len(given) != 1:
        either = f"{names['kafka_sasl_password']} or {names['kafka_sasl_password_file']}"
        raise ValueError(f"{protocol} needs {'one of' if given else 'either'} {either}{', not both' if given else ''}")
    servers = str(settings["kafka_bootstrap_servers"]).split(",")
    clear = settings["kafka_security_protocol"] == "SASL_PLAINTEXT" and settings["kafka_sasl_mechanism"] == "PLAIN"
    if clear and not all(is_loopback(server) for server in servers):
        mechanism = f"{names['kafka_sasl_mechanism']}=PLAIN"
        raise ValueError(f"{protocol} with {mechanism} would send the password in clear text: take SASL_SSL or SCRAM")
