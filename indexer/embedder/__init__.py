"""The embedder: the process that holds the model, and how one talks to it.

It is started whenever one has died, while searches wait for vectors: so it loads nothing that it has no use for, and
what its parent needs is in `indexer.embedding`.
"""
