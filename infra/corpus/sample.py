"""The sample corpus: the public functions and classes of the Python that runs, one document each.

It ships nothing and every programmer can judge the answers. Run as `python -m infra.corpus.sample`, it writes NDJSON to
standard output: importing the whole standard library is best done in a process that ends right after.
"""

import importlib
import inspect
import os.path
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Final

import msgspec

from streams.document import Document, DocumentId

SOURCE: Final = "python"

_UNWANTED: Final = frozenset(
    # What opens windows or browsers, prints, or is a program or a test rather than a library.
    {"antigravity", "this", "idlelib", "lib2to3", "test", "tests", "tkinter", "turtle", "turtledemo", "ensurepip"}
    # What a newer Python has dropped, and second names of what another module is known for.
    | {"distutils", "imp", "asynchat", "asyncore", "smtpd", "dummy", "wintypes", "posix", "nt", "ntpath", "posixpath"}
)
_PUBLIC_HOME: Final = {"posix": "os", "nt": "os", "posixpath": "os.path", "ntpath": "os.path", "genericpath": "os.path"}
"""Modules that nobody imports by name, and where their members are known."""
_MAX_SIGNATURE_CHARACTERS: Final = 400


def sample_documents() -> Iterator[Document]:
    """Every public function and class of the standard library that has a docstring, each once."""
    seen: set[int] = set()
    for module in _modules():
        for name in _public_names(module):
            member = getattr(module, name, None)
            if _belongs(member, module) and _own_docstring(member) and id(member) not in seen:
                seen.add(id(member))
                yield _document(module, name, member)


def _modules() -> Iterator[ModuleType]:
    yield os.path
    for name in sorted(sys.stdlib_module_names - _UNWANTED):
        if name.startswith("_"):
            continue
        module = _import(name)
        if module is not None:
            yield module
            yield from _submodules(module)


def _submodules(package: ModuleType) -> Iterator[ModuleType]:
    for entry in pkgutil.iter_modules(getattr(package, "__path__", ())):
        if not entry.name.startswith("_") and entry.name not in _UNWANTED:
            module = _import(f"{package.__name__}.{entry.name}")
            if module is not None:
                yield module


def _import(name: str) -> ModuleType | None:
    """Import a module; None where this platform or build lacks it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except (ImportError, OSError, AttributeError, ValueError):
        return None


def _public_names(module: ModuleType) -> list[str]:
    exported = getattr(module, "__all__", None)
    names = exported if exported is not None else [name for name in vars(module) if not name.startswith("_")]
    return sorted(names)


def _belongs(member: object, module: ModuleType) -> bool:
    """Whether a function or class is known under this module's name."""
    if not (inspect.isclass(member) or inspect.isroutine(member)):
        return False
    home = getattr(member, "__module__", None) or module.__name__
    home = _PUBLIC_HOME.get(home, home)
    # A C accelerator such as `_heapq` is the same library; another public module's member is documented there.
    return home == _name(module) or home.startswith(("_", f"{_name(module)}."))


def _own_docstring(member: object) -> str:
    """The docstring written for this member; `inspect.getdoc` alone would give a base class's."""
    return inspect.getdoc(member) or "" if getattr(member, "__doc__", None) else ""


def _name(module: ModuleType) -> str:
    return _PUBLIC_HOME.get(module.__name__, module.__name__)


def _document(module: ModuleType, name: str, member: object) -> Document:
    home = _name(module)
    title = name if home == "builtins" else f"{home}.{name}"
    kind = "class" if inspect.isclass(member) else "function"
    return Document(
        id=DocumentId(title),
        title=title,
        body=f"{_signature(name, member)}\n\n{_own_docstring(member)}",
        url=f"https://docs.python.org/3/library/{_page(home)}.html#{title}",
        source=SOURCE,
        tags=(home,),
        language="en",
        metadata={"kind": kind},
    )


def _page(home: str) -> str:
    return "functions" if home == "builtins" else home


def _signature(name: str, member: object) -> str:
    keyword = "class" if inspect.isclass(member) else "def"
    try:
        signature = str(inspect.signature(member))  # type: ignore[arg-type] # any callable; others raise below
    except (TypeError, ValueError):
        signature = "(...)"
    return f"{keyword} {name}{signature[:_MAX_SIGNATURE_CHARACTERS]}"


def main() -> None:
    """Write the corpus as NDJSON to standard output."""
    for document in sample_documents():
        sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")


if __name__ == "__main__":
    main()
