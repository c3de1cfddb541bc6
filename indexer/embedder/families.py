"""What a family of embedding models wants written before a text.

The sources are the models' own cards: nomic-embed-text-v1.5, e5, bge-v1.5; MiniLM and others take the text as it is.
"""

from collections.abc import Mapping
from typing import Final

import msgspec


class Prefixes(msgspec.Struct, frozen=True):
    """What goes before a query and before a passage of a document."""

    query: str = ""
    document: str = ""


_FAMILIES: Final = (
    # The first whose words all stand in the model's name decides.
    (("nomic",), Prefixes("search_query: ", "search_document: ")),
    (
        ("e5", "instruct"),
        Prefixes("Instruct: Given a search query, retrieve relevant passages that answer the query\nQuery: "),
    ),
    (("e5",), Prefixes("query: ", "passage: ")),
    (("bge", "m3"), Prefixes()),
    (("bge", "zh"), Prefixes("为这个句子生成表示以用于检索相关文章：")),  # noqa: RUF001 - the colon of the Chinese text
    (("bge",), Prefixes("Represent this sentence for searching relevant passages: ")),
)


def prefixes_for(metadata: Mapping[str, str], file_name: str) -> Prefixes:
    """The prefixes of a model, by its GGUF metadata and, where that is silent, by its file's name."""
    named = (metadata.get(key, "") for key in ("general.name", "general.basename", "general.architecture"))
    name = " ".join((*named, file_name)).lower()
    for words, prefixes in _FAMILIES:
        if all(word in name for word in words):
            return prefixes
    return Prefixes()
