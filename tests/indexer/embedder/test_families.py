import pytest

from indexer.embedder.families import Prefixes, prefixes_for


@pytest.mark.parametrize(
    ("metadata", "file_name", "query", "document"),
    [
        ({"general.architecture": "nomic-bert"}, "model.q8_0", "search_query: ", "search_document: "),
        ({"general.name": "nomic-embed-text-v1.5"}, "x", "search_query: ", "search_document: "),
        ({"general.name": "Multilingual E5 Base"}, "x", "query: ", "passage: "),
        ({"general.name": "bge-small-en-v1.5"}, "x", "Represent this sentence for searching relevant passages: ", ""),
        ({"general.name": "bge-m3"}, "x", "", ""),
        ({"general.architecture": "bert"}, "e5-small-v2", "query: ", "passage: "),
        ({"general.name": "all-MiniLM-L6-v2", "general.architecture": "bert"}, "all-minilm", "", ""),
        ({}, "model", "", ""),
    ],
)
def test_prefixes_of_a_family(metadata: dict[str, str], file_name: str, query: str, document: str) -> None:
    """The model's own name decides, or its file's, and an unknown model gets its texts as they are."""
    assert prefixes_for(metadata, file_name) == Prefixes(query, document)


def test_an_instructed_e5_wants_an_instruction() -> None:
    """Its passages go in bare."""
    prefixes = prefixes_for({"general.name": "multilingual-e5-large-instruct"}, "x")
    assert prefixes.query.startswith("Instruct: ")
    assert prefixes.document == ""
