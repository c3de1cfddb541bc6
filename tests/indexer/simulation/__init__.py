"""Indexers between a Kafka and an index that are simulated, in virtual time: what chance makes of a seed.

The indexers are real, from `indexer.consumer` down to where `aiokafka` begins, and the index is `FakeIndex`, which is
stricter than any real one. What goes wrong, and when, is drawn from a seed: a history that was told is told again by
the same one. The idea is that of W. Wilson, Testing distributed systems with deterministic simulation (2014).
"""
