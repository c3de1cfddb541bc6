"""The sample corpus: the documentation of the Python that runs."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.codec import parse_document
from streams.document import Document, DocumentId

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def sample() -> Mapping[DocumentId, Document]:
    """What the program writes, by id."""
    done = subprocess.run([sys.executable, "-m", "infra.corpus.sample"], check=True, capture_output=True, timeout=120)
    assert done.stderr == b""
    documents = [parse_document(line) for line in done.stdout.splitlines()]
    by_id = {document.id: document for document in documents}
    assert len(by_id) == len(documents), "an id stands twice"
    return by_id


def test_there_are_thousands_of_documents(sample: Mapping[DocumentId, Document]) -> None:
    """Enough to search in, few enough to embed in a minute or two; each one is within every limit."""
    assert 2_000 <= len(sample) <= 6_000


@pytest.mark.parametrize(
    ("name", "module", "words"),
    [
        ("heapq.nsmallest", "heapq", "smallest elements"),
        ("os.path.join", "os.path", "Join two or more pathname components"),
        ("threading.Lock", "threading", "lock"),
        ("json.dumps", "json", "Serialize"),
        ("collections.OrderedDict", "collections", "order"),
        ("asyncio.run", "asyncio", "coroutine"),
        ("len", "builtins", "number of items"),
    ],
)
def test_what_a_programmer_looks_for_is_there(
    sample: Mapping[DocumentId, Document], name: str, module: str, words: str
) -> None:
    """Under the name that it is imported by, with its documentation."""
    document = sample[DocumentId(name)]
    assert document.title == name
    assert document.tags[0] == module
    assert words in document.body
    assert document.source == "python"


def test_a_body_is_signature_and_docstring(sample: Mapping[DocumentId, Document]) -> None:
    """A search for a parameter finds the function too."""
    assert sample[DocumentId("heapq.nsmallest")].body.startswith(
        "def nsmallest(n, iterable, key=None)\n\nFind the n smallest"
    )


def test_nothing_is_known_by_a_private_name(sample: Mapping[DocumentId, Document]) -> None:
    """C accelerators and platform modules are known by the module that people import."""
    private = [name for name in sample if any(part.startswith("_") for part in name.split(".")[:-1])]
    assert private == []
    assert not {"posixpath.join", "posix.stat"} & sample.keys()


@pytest.mark.parametrize("page", ["README.md", "docs/quick-start.md"])
def test_patterns_that_are_shown_find_something(sample: Mapping[DocumentId, Document], page: str) -> None:
    """Whoever tries the first one should see an answer."""
    shown = re.findall(r"search '/(.+)/'", (ROOT / page).read_text())
    assert shown
    for pattern in shown:
        assert any(re.search(pattern, document.body) for document in sample.values()), pattern
