"""What may be left on a disk when the power fails: every state that the rules of POSIX allow, drawn by a seed.

What was synced is there. Of what was not, anything may be: bytes of a file are there, are missing, are zeros or
garbage from some sector on; an entry of a folder (a creation, a renaming, a removal) is there or not, whatever became
of the one before it. Pillai et al., All File Systems Are Not Created Equal (OSDI 2014), found each of these on file
systems in use.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.disk.operations import Kind, Operation

_SECTOR: Final = 512


class Recorder:
    """A `Watcher` that keeps what was done, with marks in between.

    Args:
        ignored: kinds that are left out, as if the program had not done them.

    Attributes:
        done: operations, and texts where `mark` was called.
    """

    def __init__(self, ignored: Collection[Kind] = ()) -> None:
        self.done: list[Operation | str] = []
        self._ignored = ignored

    def mark(self, text: str) -> None:
        """Note that the program has promised something."""
        self.done.append(text)

    def before(self, operation: Operation) -> None:
        """As `Watcher.before`."""

    def after(self, operation: Operation) -> None:
        """As `Watcher.after`."""
        if operation.kind not in self._ignored:
            self.done.append(operation)


class _File:
    """A file, by whatever names it has."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = b""

    def survivor(self, chance: random.Random) -> bytes:
        """What may be read after the loss: as synced, as written, or as written from some sector on."""
        if self.data == self.synced or chance.random() < 1 / 4:
            return self.synced
        kept = chance.choice([len(self.data), chance.randrange(0, len(self.data) + 1, _SECTOR)])
        rest = len(self.data) - kept
        lost = chance.choice([b"", bytes(rest), chance.randbytes(rest)])
        return bytes(self.data[:kept]) + lost


class _Folder:
    """A folder, by whatever name it has: what is in it now, and what is in it for certain."""

    def __init__(self) -> None:
        self.names: dict[str, _File | _Folder] = {}
        self.durable: dict[str, _File | _Folder] = {}


class _Entry(msgspec.Struct, frozen=True):
    """A name in a folder, and what it comes to mean: nothing, when it is removed."""

    folder: _Folder
    name: str
    node: _File | _Folder | None


class _Change(msgspec.Struct):
    """Names that change together, which no sync has made durable yet.

    Attributes:
        entries: the names.
        unsynced: the folders that would have to be synced for that.
    """

    entries: list[_Entry]
    unsynced: list[_Folder]


class Disk:
    """A folder as operations leave it, and as a power loss may.

    Args:
        root: the folder; what lies in it to begin with is taken for synced.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._top = _loaded(self._root)
        self._pending: list[_Change] = []

    def do(self, operation: Operation) -> None:
        """Take in the next operation."""
        path, target = operation.path, operation.target
        match operation.kind:
            case Kind.CREATE:
                self._create(path)
            case Kind.WRITE:
                data = self._file(path).data
                data[operation.offset : operation.offset + len(operation.data)] = operation.data
            case Kind.SYNC:
                file = self._file(path)
                file.synced = bytes(file.data)
            case Kind.SYNC_DIRECTORY:
                self._sync(self._folder(path))
            case Kind.MAKE_DIRECTORY:
                self._change(self._entry(path, _Folder()))
            case Kind.REMOVE | Kind.REMOVE_DIRECTORY:
                self._change(self._entry(path, None))
            case Kind.LINK if target is not None:
                self._change(self._entry(target, self._node(path)))
            case Kind.RENAME if target is not None:
                self._change(self._entry(path, None), self._entry(target, self._node(path)))

    def after_power_loss(self, place: Path, chance: random.Random) -> None:
        """Make a folder that holds one of the states that the disk may be found in.

        Args:
            place: the folder, not there yet.
            chance: draws the state.
        """
        survived = [entry for change in self._pending if chance.random() < 1 / 2 for entry in change.entries]
        self._put(self._top, place, survived, chance)

    def _put(self, folder: _Folder, place: Path, survived: list[_Entry], chance: random.Random) -> None:
        names = dict(folder.durable)
        for entry in survived:
            if entry.folder is folder:
                _apply(entry, names)
        place.mkdir()
        for name, node in sorted(names.items()):
            if isinstance(node, _Folder):
                self._put(node, place / name, survived, chance)
            else:
                (place / name).write_bytes(node.survivor(chance))

    def _create(self, path: Path) -> None:
        folder = self._folder(path.parent)
        file = folder.names.get(path.name)
        if isinstance(file, _File):
            file.data.clear()
        else:
            self._change(self._entry(path, _File()))

    def _change(self, *entries: _Entry) -> None:
        for entry in entries:
            _apply(entry, entry.folder.names)
        self._pending.append(_Change(list(entries), [entry.folder for entry in entries]))

    def _sync(self, folder: _Folder) -> None:
        left = list[_Change]()
        for change in self._pending:
            change.unsynced = [each for each in change.unsynced if each is not folder]
            if change.unsynced:
                left.append(change)
            else:
                for entry in change.entries:
                    _apply(entry, entry.folder.durable)
        self._pending = left

    def _entry(self, path: Path, node: _File | _Folder | None) -> _Entry:
        return _Entry(self._folder(path.parent), path.name, node)

    def _node(self, path: Path) -> _File | _Folder:
        node: _File | _Folder = self._top
        for name in path.relative_to(self._root).parts:
            assert isinstance(node, _Folder)
            node = node.names[name]
        return node

    def _file(self, path: Path) -> _File:
        node = self._node(path)
        assert isinstance(node, _File)
        return node

    def _folder(self, path: Path) -> _Folder:
        node = self._node(path)
        assert isinstance(node, _Folder)
        return node


def _loaded(directory: Path) -> _Folder:
    folder = _Folder()
    for path in directory.iterdir():
        if path.is_dir():
            folder.names[path.name] = _loaded(path)
        else:
            folder.names[path.name] = file = _File()
            file.synced = path.read_bytes()
            file.data = bytearray(file.synced)
    folder.durable = dict(folder.names)
    return folder


def _apply(entry: _Entry, names: dict[str, _File | _Folder]) -> None:
    if entry.node is None:
        names.pop(entry.name, None)
    else:
        names[entry.name] = entry.node


def moments(disk: Disk, done: Sequence[Operation | str]) -> Iterator[list[str]]:
    """Take in one operation after the other; the marks so far come after each."""
    marks = list[str]()
    for each in done:
        if isinstance(each, str):
            marks.append(each)
            continue
        disk.do(each)
        yield marks
