"""Errors of the embedder, named by what the caller must do about them.

IndexFault
├── BackendUnavailable
│   ├── EmbedderDied   it is started again: ask again, each text alone if it happens twice
│   └── NeverBegun     the same, but it died of another request: whoever sent this one sends it again
└── EmbeddingFault     the model cannot be used: give it another one
    └── TextTooLong    the text has more tokens than the model reads: split it
"""

from indexer.errors import BackendUnavailable, IndexFault


class EmbedderDied(BackendUnavailable):
    """The embedder's process ended while it worked on this request."""


class NeverBegun(BackendUnavailable):
    """The embedder's process ended before it worked on this request, which it had been sent."""


class EmbeddingFault(IndexFault):
    """The model refused, and will again."""


class TextTooLong(EmbeddingFault):
    """A text has more tokens than the model reads at once; nothing is ever cut silently."""
