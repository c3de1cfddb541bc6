"""The files of the newest commit of a generation of segments."""

from indexer.committed import CommittedFiles
from indexer.generation import Generation
from indexer.segment.manifest import MANIFEST, ManifestReader


def committed_files(generation: Generation) -> CommittedFiles:
    """As `indexer.committed.ListCommitted`: the manifest, which a rename replaces, and what it names.

    Raises:
        FileNotFoundError: nothing was committed yet.
        GenerationUnusable: the manifest is damaged.
    """
    read = ManifestReader(generation.directory)
    return CommittedFiles({MANIFEST: read.encoded}, tuple(sorted(read.manifest.files)))
