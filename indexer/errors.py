"""Errors of the indexes, named by what the caller must do about them.

IndexFault
├── WriterFailed         drop the writer, open a new one, seek to its watermark and replay
│   └── WatermarkConflict  the same, because another writer was there first
├── WriterLocked         another process writes this generation: wait, or stop it
├── TooManyBadRecords    read nothing until somebody has looked: what writes or reads the records is broken
├── GenerationUnusable   the files or tables are damaged or of another format: rebuild the index
├── SwapRefused          choose another generation, or have one built first
├── BackendUnavailable   the backend cannot answer now: answer without it
│   ├── BackendBusy        the same, because others ask as much as it can answer, and nothing failed
│   └── BackendStarting    the same, but it will soon, and nothing failed
├── DeadlineExceeded     the time ran out inside the backend
└── InvalidQuery         the client must change the query

JobRefused               nobody is there to do it, or one like it is open: wait, or start an indexer

ResourceShortage         this process has too little left to begin new work: try again later
├── OutOfMemory
└── TooManyOpenFiles
"""

from streams.errors import EmbedSearchError


class IndexFault(EmbedSearchError):
    """Whatever an index raises on purpose."""


class WriterFailed(IndexFault):
    """A writer is in an unknown state and must not be used again."""


class WatermarkConflict(WriterFailed):
    """The stored watermark is not the one this writer last saw: another writer committed."""


class WriterLocked(IndexFault):
    """Another process holds the writer lock of this generation."""


class TooManyBadRecords(IndexFault):
    """So much of what was read is bad that passing it would empty the topic into the dead letters."""


class GenerationUnusable(IndexFault):
    """A generation is damaged, or of a format this version cannot read."""


class SwapRefused(IndexFault):
    """The generation that an operator asked for is not there, or is not one to go live."""


class BackendUnavailable(IndexFault):
    """A backend cannot answer at present."""


class BackendBusy(BackendUnavailable):
    """A backend has as much to do as it can do in time, and was not asked for more."""


class BackendStarting(BackendUnavailable):
    """A backend waits for a part of it that is being started."""


class DeadlineExceeded(IndexFault):
    """The work was stopped because its time ran out."""


class InvalidQuery(IndexFault):
    """The query cannot be run by this backend, however often it is tried."""


class JobRefused(EmbedSearchError):
    """A job cannot be ordered now, and the message says why."""


class ResourceShortage(EmbedSearchError):
    """This process has too little of something left to begin new work."""


class OutOfMemory(ResourceShortage):
    """Memory is nearly used up, though all caches are empty."""


class TooManyOpenFiles(ResourceShortage):
    """File handles are nearly used up."""
