"""What an engine on local files is to the rest of the system."""

from collections.abc import Callable

import msgspec

from indexer.backend import BlockingSearcher
from indexer.committed import ListCommitted
from indexer.damage import FindDamage
from indexer.generation import Generation, GenerationSettings
from indexer.resources import Cache
from indexer.writer import BlockingWriter
from streams.settings import Settings


class LocalEngine(msgspec.Struct, frozen=True):
    """An engine on local files.

    Attributes:
        settings: what its generations are built with, under the settings of the system.
        writer: opens the one writer of a generation.
        searcher: opens a reader of a generation.
        find_damage: checks the files of a generation.
        list_committed: lists the files of its newest commit.
        lock: the file that its writer locks, in the generation's folder.
        caches: empty what its searchers keep for later.
    """

    settings: Callable[[Settings], GenerationSettings]
    writer: Callable[[Generation], BlockingWriter]
    searcher: Callable[[Generation], BlockingSearcher]
    find_damage: FindDamage
    list_committed: ListCommitted
    lock: str
    caches: tuple[Cache, ...] = ()
