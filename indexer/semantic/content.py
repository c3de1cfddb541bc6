"""Which text the passages of a document were made of, told by a hash that its row keeps."""

import hashlib

from streams.document import Document


def embedded_hash(document: Document) -> bytes:
    """SHA-256 of all that is embedded; the title's length tells where the body begins."""
    digest = hashlib.sha256(f"{len(document.title)} {document.title}".encode())
    digest.update(document.body.encode())
    return digest.digest()
