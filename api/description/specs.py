"""The descriptions of this system that never change while it runs, made once at start-up."""

import base64
import hashlib
import re
from importlib.resources import files
from typing import Final

import msgspec

from api.description.openapi import openapi_document
from streams.asyncapi import asyncapi_document
from streams.settings import Settings

_INLINE: Final = re.compile(rb"<(?P<tag>script|style)>(?P<text>.*?)</(?P=tag)>", re.DOTALL)


class Specs(msgspec.Struct, frozen=True):
    """Ready answers.

    Attributes:
        openapi: JSON.
        asyncapi: JSON.
        docs: a page that renders the OpenAPI document, with nothing from elsewhere.
        docs_policy: the page's content security policy; it allows the page's own script, and no other.
    """

    openapi: bytes
    asyncapi: bytes
    docs: bytes
    docs_policy: str


def make_specs(settings: Settings, bootstrap_servers: str, version: str) -> Specs:
    """Make the descriptions of a system.

    Args:
        settings: of the system.
        bootstrap_servers: of its Kafka.
        version: of this software.
    """
    docs = files("api.description").joinpath("docs.html").read_bytes()
    return Specs(
        openapi=openapi_document(version),
        asyncapi=asyncapi_document(
            settings.topic, settings.dead_letter_topic, bootstrap_servers=bootstrap_servers, version=version
        ),
        docs=docs,
        docs_policy=_policy(docs),
    )


def _policy(page: bytes) -> str:
    sources = {inline["tag"].decode(): _source(inline["text"]) for inline in _INLINE.finditer(page)}
    directives = [f"{tag}-src {source}" for tag, source in sources.items()]
    return "; ".join(["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", *directives])


def _source(text: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
