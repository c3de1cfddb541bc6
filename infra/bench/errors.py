"""Why a comparison cannot be made."""

from streams.errors import EmbedSearchError


class BenchFailed(EmbedSearchError):
    """There is nothing to compare, or a peer cannot be run."""
