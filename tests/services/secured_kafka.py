"""A real broker with TLS, passwords and client certificates: a listener for each way in."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.kafka.server import KafkaServer
from infra.supervisor.ports import LOOPBACK, free_port
from tests.services.certificates import HOST, Certificates

USER = "indexer"
PASSWORD = "not-a-word-of-the-language"  # noqa: S105 - of a broker that lives as long as a test

_PROTOCOLS = {"SASL_SSL": "SASL_SSL", "SASL_PLAINTEXT": "SASL_PLAINTEXT", "SSL": "SSL", "MUTUAL": "SSL"}
_FORMAT_WITHIN = 60.0
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")


class SecuredKafka(KafkaServer):
    """A broker whose clients may come in by several doors; its own traffic stays on the plain one.

    Args:
        directory: of its own.
        jars: of Kafka.
        certificates: its own, and the authority whose clients it takes.

    Attributes:
        addresses: `localhost:port` by listener: `SASL_SSL`, `SASL_PLAINTEXT`, `SSL`, and `MUTUAL`, which is SSL and
            asks for a certificate.
    """

    def __init__(self, directory: Path, jars: Path, certificates: Certificates) -> None:
        super().__init__(directory, jars=jars, port=free_port(), controller_port=free_port())
        self._ports = {name: free_port() for name in _PROTOCOLS}
        self._certificates = certificates
        self.addresses = {name: f"{HOST}:{port}" for name, port in self._ports.items()}

    def _properties(self, topics: Path) -> str:
        # Of a property that is written twice, the last one holds.
        written = super()._properties(topics)
        base = dict(line.split("=", 1) for line in written.splitlines())
        module = "org.apache.kafka.common.security"
        properties = {
            "listeners": base["listeners"] + "".join(f",{n}://{LOOPBACK}:{p}" for n, p in self._ports.items()),
            "advertised.listeners": base["advertised.listeners"]
            + "".join(f",{name}://{address}" for name, address in self.addresses.items()),
            "listener.security.protocol.map": base["listener.security.protocol.map"]
            + "".join(f",{name}:{protocol}" for name, protocol in _PROTOCOLS.items()),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._certificates.server),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._certificates.authority),
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join(("PLAIN", *_SCRAM)),
        }
        for listener in ("sasl_ssl", "sasl_plaintext"):
            prefix = f"listener.name.{listener}"
            user = f'user_{USER}="{PASSWORD}"'
            properties[f"{prefix}.plain.sasl.jaas.config"] = f"{module}.plain.PlainLoginModule required {user};"
            for mechanism in _SCRAM:
                scram = f"{module}.scram.ScramLoginModule required;"
                properties[f"{prefix}.{mechanism.lower()}.sasl.jaas.config"] = scram
        return written + "".join(f"{name}={value}\n" for name, value in properties.items())

    def _format(self) -> None:
        """Format the storage with the user in it; SCRAM has no other place for the first one."""
        configuration = self._directory / "format.properties"
        configuration.write_text(self._properties(self._topics))
        command = [*self._java("-Xmx256m"), "kafka.tools.StorageTool", "format", "--standalone"]
        command += ["--cluster-id=c2VjdXJlZC1rYWZrYS0xMg", f"--config={configuration}"]
        command += [f"--add-scram={mechanism}=[name={USER},password={PASSWORD}]" for mechanism in _SCRAM]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_WITHIN, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def running_secured_kafka(directory: Path, jars: Path, certificates: Certificates) -> Iterator[SecuredKafka]:
    """Run one for as long as the block."""
    server = SecuredKafka(directory, jars, certificates)
    with server.running():
        yield server
