"""Where a Kafka cluster is and how to get in: the one place that makes the arguments of every client.

TLS always checks that the certificate was made for the host that was dialled; there is no setting to leave it out.
"""

import ssl
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from pydantic import SecretStr

from streams.credentials import SASL_PROTOCOLS, TLS_PROTOCOLS
from streams.errors import SettingsError, StreamUnavailable
from streams.settings import Settings, variable

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_ASK_MS: Final = 3_000
_MAX_PASSWORD_BYTES: Final = 4_096
_BY_MECHANISM: Final = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


class KafkaCluster(msgspec.Struct, frozen=True):
    """A cluster, and what it takes to be let in. As text it is its addresses, never its password.

    Attributes:
        bootstrap_servers: host:port, several separated by commas.
        protocol: whether there is TLS, and whether a user name is asked for.
        tls: what certificates are checked against, and the client's own, with protocols that have TLS.
        mechanism: how the password is proved.
        user: name, with protocols that ask for one.
        password: of that user.
    """

    bootstrap_servers: str
    protocol: SecurityProtocol = "PLAINTEXT"
    tls: ssl.SSLContext | None = None
    mechanism: SaslMechanism = "SCRAM-SHA-512"
    user: str = ""
    password: SecretStr = SecretStr("")

    def __str__(self) -> str:
        return self.bootstrap_servers


KafkaAddress = KafkaCluster | str
"""A cluster; bare `host:port[,host:port]` is one that lets everybody in."""


def kafka_cluster(settings: Settings, bootstrap_servers: str | None = None) -> KafkaCluster:
    """The cluster that the settings describe.

    Args:
        settings: of this system.
        bootstrap_servers: where it is if the settings do not say.

    Raises:
        SettingsError: nobody says where it is, or a file cannot be used.
    """
    servers = settings.kafka_bootstrap_servers or bootstrap_servers
    if servers is None:
        raise SettingsError(f"{variable('kafka_bootstrap_servers')} is not set")
    protocol: SecurityProtocol = settings.kafka_security_protocol
    return KafkaCluster(
        servers,
        protocol,
        _tls(settings) if protocol in TLS_PROTOCOLS else None,
        settings.kafka_sasl_mechanism,
        settings.kafka_sasl_user or "",
        _password(settings) if protocol in SASL_PROTOCOLS else SecretStr(""),
    )


def client_arguments(kafka: KafkaAddress) -> dict[str, Any]:
    """What every client of aiokafka takes to connect."""
    cluster = _cluster(kafka)
    arguments: dict[str, Any] = {
        "bootstrap_servers": cluster.bootstrap_servers.split(","),
        "security_protocol": cluster.protocol,
        "ssl_context": cluster.tls,
    }
    if cluster.protocol in SASL_PROTOCOLS:
        arguments |= {
            "sasl_mechanism": cluster.mechanism,
            "sasl_plain_username": cluster.user,
            "sasl_plain_password": cluster.password.get_secret_value(),
        }
    return arguments


def broker_security(kafka: KafkaAddress) -> BaseSecurity:
    """The same for a broker of FastStream."""
    cluster = _cluster(kafka)
    encrypted = cluster.protocol in TLS_PROTOCOLS
    if cluster.protocol not in SASL_PROTOCOLS:
        return BaseSecurity(cluster.tls, use_ssl=encrypted)
    by_mechanism = _BY_MECHANISM[cluster.mechanism]
    return by_mechanism(cluster.user, cluster.password.get_secret_value(), cluster.tls, use_ssl=encrypted)


async def unavailable(kafka: KafkaAddress, what: str, failure: Exception) -> StreamUnavailable:
    """The error for a connection that failed; where the broker refuses us, it names the setting to look at.

    aiokafka keeps to itself why it could not connect, so a broker with security is asked once more.

    Args:
        kafka: that was to be reached.
        what: it does not do.
        failure: what the client said.
    """
    cluster = _cluster(kafka)
    if cluster.protocol != "PLAINTEXT" and isinstance(failure, KafkaConnectionError):
        reason = await _refusal(cluster)
        if reason:
            return StreamUnavailable(f"Kafka at {cluster} refused this client: {reason}")
    return StreamUnavailable(f"Kafka at {cluster} {what}: {failure!r}")


async def _refusal(cluster: KafkaCluster) -> str:
    """Why the first broker that answers lets us not in; empty when none answers, or it does."""
    arguments = client_arguments(cluster)
    for host, port, _ in collect_hosts(arguments.pop("bootstrap_servers")):
        try:
            connection = await create_conn(host, port, request_timeout_ms=_ASK_MS, **arguments)
        except ssl.SSLCertVerificationError as exc:
            return f"the certificate of {host}:{port} is not good ({exc.verify_message}), see {_name('ca_file')}"
        except SaslAuthenticationFailed:
            return f"wrong user or password, see {_name('sasl_user')} and {_name('sasl_password')}"
        except UnsupportedSaslMechanismError:
            return f"it does not take {cluster.mechanism}, see {_name('sasl_mechanism')}"
        except (ssl.SSLError, ConnectionResetError, KafkaConnectionError) as exc:
            return (
                f"it hung up ({exc}): the listener may want another {_name('security_protocol')},"
                f" or a certificate, see {_name('certificate_file')}"
            )
        except (KafkaError, OSError, TimeoutError):
            continue
        connection.close()
        return ""
    return ""


def _cluster(kafka: KafkaAddress) -> KafkaCluster:
    return kafka if isinstance(kafka, KafkaCluster) else KafkaCluster(kafka)


def _tls(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        raise SettingsError(f"{_name('ca_file')}: {settings.kafka_ca_file} holds no certificates: {exc}") from exc
    certificate, key = settings.kafka_certificate_file, settings.kafka_key_file
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=_no_prompt)
        except (OSError, ValueError) as exc:
            raise SettingsError(
                f"{_name('certificate_file')}, {_name('key_file')}: they are no certificate with its key: {exc}"
            ) from exc
    return context


def _no_prompt() -> str:
    """Asked for the password of a key that is encrypted; OpenSSL would ask at the terminal otherwise, and wait."""
    raise ValueError("the key is encrypted")


def _password(settings: Settings) -> SecretStr:
    path: Path | None = settings.kafka_sasl_password_file
    if path is None:
        return settings.kafka_sasl_password or SecretStr("")
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_PASSWORD_BYTES + 1).decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"  # which would quote the password
        raise SettingsError(f"{_name('sasl_password_file')}: {path} cannot be read: {reason}") from exc
    if not 0 < len(text.encode()) <= _MAX_PASSWORD_BYTES:
        raise SettingsError(f"{_name('sasl_password_file')}: {path} is empty or too large for a password")
    return SecretStr(text)


def _name(field: str) -> str:
    return variable(f"kafka_{field}")
