"""Jobs: what operators order over HTTP, carried out beside the indexers, by whoever may write the index.

The API orders and reads, `infra.jobs` carries out. Both meet in small files under the data directory (`board`), so that
every worker of the API knows of every order, and an order outlives both. A job is about one index, and its indexer's
process carries it out: that one has the right to write the index (the API's role of the database only reads), its
settings, and its model.
"""
