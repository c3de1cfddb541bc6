"""PostgreSQL over TLS: a real server with `ssl=on` where the machine has one, and one behind a front that has TLS.

The PostgreSQL that set-up brings is built without TLS. A front that ends it, as poolers and proxies do, shows that
everything of ours connects so; a server that does so itself, such as Debian's, shows that the two mean the same.
"""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from infra.postgres.server import PostgresServer
from infra.supervisor.ports import LOOPBACK, free_port
from infra.supervisor.service import Account, Service
from tests.services.certificates import Certificates

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_ELSEWHERE = Path("/usr/lib/postgresql")


@contextlib.contextmanager
def tls_front(port: int, certificates: Certificates, *, asks_for_certificate: bool = False) -> Iterator[int]:
    """Listen with TLS before the server at a port, for as long as the block runs; gives the port to connect to."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.authority))
    context.load_cert_chain(certificates.server)
    context.verify_mode = ssl.CERT_REQUIRED if asks_for_certificate else ssl.CERT_NONE
    with socket.create_server((LOOPBACK, 0)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, port, context))
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket, port: int, context: ssl.SSLContext) -> None:
    serving = []
    with contextlib.suppress(OSError):  # of the listener that was shut
        while True:
            client, _ = listener.accept()
            serving.append(threading.Thread(target=_serve, args=(client, port, context)))
            serving[-1].start()
    for thread in serving:
        thread.join()


def _serve(client: socket.socket, port: int, context: ssl.SSLContext) -> None:
    """One connection, to the end of either side."""
    with client, contextlib.suppress(OSError):  # a handshake that fails is what the tests want to see
        if client.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) != _SSL_REQUEST:
            return  # whoever asks for no TLS gets nothing
        client.sendall(b"S")
        with (
            context.wrap_socket(client, server_side=True) as secured,
            socket.create_connection((LOOPBACK, port)) as server,
        ):
            back = threading.Thread(target=_pump, args=(server, secured))
            back.start()
            _pump(secured, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(end, socket.SHUT_RDWR)


def programs_with_tls() -> Path | None:
    """The programs of a PostgreSQL on this machine that was built with TLS, the newest; None where there is none."""
    for folder in sorted(_ELSEWHERE.glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True):
        if (folder / "initdb").exists() and b"libssl" in subprocess.run(
            ["ldd", str(folder / "postgres")], capture_output=True, check=True
        ).stdout:
            return folder
    return None


class TlsPostgres(PostgresServer):
    """A server that speaks TLS itself, from programs of this machine; it need not have pgvector."""

    def __init__(self, directory: Path, programs: Path, certificates: Certificates) -> None:
        super().__init__(directory, port=free_port())
        self._programs = programs
        self._files = [certificates.server, certificates.authority]

    def service(self) -> Service:
        """As its base, with TLS."""
        service = super().service()
        own = [str(self._directory / file.name) for file in self._files]
        given = ("ssl=on", f"ssl_cert_file={own[0]}", f"ssl_key_file={own[0]}", f"ssl_ca_file={own[1]}")
        return msgspec.structs.replace(service, argv=(*service.argv, *(a for s in given for a in ("-c", s))))

    def _initialise(self, account: Account | None) -> None:
        password = self._directory / "password"
        assert self.dsn  # which makes the password
        for file in self._files:
            shutil.copy(file, self._directory)
        for file in (password, *(self._directory / each.name for each in self._files)):
            file.chmod(0o600)
            if account:
                os.chown(file, account.uid, account.gid)
        access = ("--username=embed_search", f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync")
        self._run(account, "initdb", "--pgdata", str(self._cluster), "--encoding=UTF8", "--locale=C", *access)
        command = ("--single", "-D", str(self._cluster), "postgres")
        self._run(account, "postgres", *command, text="CREATE DATABASE embed_search\n")
