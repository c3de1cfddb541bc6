"""Certificates for tests: authorities of a test's own, and what they vouch for."""

from pathlib import Path

import msgspec
import trustme
from cryptography.hazmat.primitives import serialization

HOST = "localhost"
"""The one name that the server's certificate is made for: whoever dials 127.0.0.1 dials a wrong name."""


class Certificates(msgspec.Struct, frozen=True):
    """Files, PEM.

    Attributes:
        authority: that clients should trust.
        stranger: another authority.
        server: key and certificate for `HOST`.
        client: key and certificate of a client.
        stray: key and certificate of a client that the other authority vouches for.
    """

    authority: Path
    stranger: Path
    server: Path
    client: Path
    stray: Path


def make_certificates(directory: Path) -> Certificates:
    """Make them all, in a folder that is there."""
    authority, stranger = trustme.CA(), trustme.CA()
    files = Certificates(*(directory / f"{name}.pem" for name in Certificates.__struct_fields__))
    authority.cert_pem.write_to_path(str(files.authority))
    stranger.cert_pem.write_to_path(str(files.stranger))
    for path, issuer, name in (
        (files.server, authority, HOST),
        (files.client, authority, "client.example"),
        (files.stray, stranger, "client.example"),
    ):
        leaf = issuer.issue_cert(name, key_type=trustme.KeyType.RSA)
        path.write_bytes(_pkcs8(leaf.private_key_pem.bytes()) + leaf.cert_chain_pems[0].bytes())
        path.chmod(0o600)
    return files


def _pkcs8(key: bytes) -> bytes:
    """The form of a key that Kafka reads too."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def encrypted_key(path: Path) -> bytes:
    """The key in a file, in a form that needs a password to be read."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"guess")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
