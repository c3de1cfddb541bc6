"""Reads the files of the pages once, with the headers that each is served with.

The pages hold nothing of this system: what they show, their scripts ask the API for, with the key of whoever looks at
them. So they are the same for everybody, and a browser may keep them as long as it asks whether they have changed.
"""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType
from typing import Final

import msgspec

SEARCH: Final = "search.html"
ADMIN: Final = "admin.html"

_TYPES: Final = MappingProxyType(
    {
        ".html": "text/html",
        ".css": "text/css",
        ".js": "text/javascript",
        ".svg": "image/svg+xml",
    }
)

# Trusted types: the browser refuses to read any text as HTML, whatever a script of ours would try.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


class PageFile(msgspec.Struct, frozen=True):
    """One file, ready to be served.

    Attributes:
        body: its bytes.
        media_type: of its bytes, in UTF-8.
        etag: changes when the bytes do, in quotes.
    """

    body: bytes
    media_type: str
    etag: str

    def headers(self) -> dict[str, str]:
        """What it is served with, whether or not its body is."""
        return {"etag": self.etag, "cache-control": "no-cache", "content-security-policy": POLICY}

    def is_held(self, if_none_match: str) -> bool:
        """Whether a client holds these very bytes, by what it says (RFC 9110, section 13.1.2)."""
        held = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        return self.etag in held or "*" in held


def load_pages() -> Mapping[str, PageFile]:
    """All files of the pages, by name."""
    found = {}
    for file in files("api.pages").iterdir():
        media_type = _TYPES.get(f".{file.name.rpartition('.')[2]}")
        if media_type is not None:
            body = file.read_bytes()
            found[file.name] = PageFile(body, media_type, f'"{sha256(body).hexdigest()[:32]}"')
    return MappingProxyType(found)
