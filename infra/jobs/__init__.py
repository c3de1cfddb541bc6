"""Carries out what operators order over HTTP, beside the indexers and with their rights; see `indexer.jobs`."""
