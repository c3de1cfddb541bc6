"""The segment layer that bm25 and native share: immutable files, a manifest swapped atomically, deletions, merging.

    file        one file of named, checksummed sections
    section     one of them, as it is read
    pages       its checksums, and which were looked at
    documents   its stored documents, ids and positions
    blocks      what these lie in, and those blocks that were read lately
    ids         where its ids lie, for kernels
    filters     what its documents are filtered by
    facets      what they are counted by
    counting    the counts of several segments
    postings    its posting lists
    dictionary  the kernel that finds them
    packing     kernels: posting lists, bit by bit
    tombstones  deletions, in a file of their own
    manifest    which files are the index now, together with the watermark
    engine      what an engine adds, and an opened segment
    writer      one writer: buffer, flush, delete, commit
    open_segment  a segment while it is written to
    merging     which segments to merge
    merger      merges them, in a thread of its own
    damage      damaged segments: found, set aside, read again from the topic
    suspects    how readers tell the writer of damage
    committed   the files of a commit
    inspection  all files of a generation, held against their checksums
    snapshot    many readers: the newest committed state
    searcher    newest, fetch and stats, alike for every engine
    ranking     the best hits, ties by id

An engine is a `SegmentEngine`, and subclasses of `SegmentedWriter` and `SegmentedSearcher` that hand it in.
"""

from indexer.segment.blocks import clear_blocks
from indexer.segment.committed import committed_files
from indexer.segment.dictionary import ABSENT
from indexer.segment.documents import StoredDocuments
from indexer.segment.engine import Segment, SegmentEngine, merged_ordinals
from indexer.segment.file import SegmentFile, SegmentFileBuilder
from indexer.segment.inspection import find_damage
from indexer.segment.lock import LOCK
from indexer.segment.packing import BLOCK
from indexer.segment.postings import PostingChunk, PostingLists, merge_chunks, write_postings
from indexer.segment.ranking import Matches, best_hits
from indexer.segment.searcher import SegmentedSearcher
from indexer.segment.snapshot import Snapshot, SnapshotReader
from indexer.segment.writer import SegmentedWriter

__all__ = [
    "ABSENT",
    "BLOCK",
    "LOCK",
    "Matches",
    "PostingChunk",
    "PostingLists",
    "Segment",
    "SegmentEngine",
    "SegmentFile",
    "SegmentFileBuilder",
    "SegmentedSearcher",
    "SegmentedWriter",
    "Snapshot",
    "SnapshotReader",
    "StoredDocuments",
    "best_hits",
    "clear_blocks",
    "committed_files",
    "find_damage",
    "merge_chunks",
    "merged_ordinals",
    "write_postings",
]
