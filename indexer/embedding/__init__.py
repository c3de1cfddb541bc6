"""Texts to vectors: llama.cpp in a process of its own, so that its crashes and its locks are nobody else's."""

from indexer.embedder.protocol import ModelDescription
from indexer.embedding.errors import EmbedderDied, EmbeddingFault, TextTooLong
from indexer.embedding.life import EmbedderOptions
from indexer.embedding.process import EmbedderProcess, patience
from indexer.embedding.queries import QueryEmbeddings, QueryMetrics

__all__ = [
    "EmbedderDied",
    "EmbedderOptions",
    "EmbedderProcess",
    "EmbeddingFault",
    "ModelDescription",
    "QueryEmbeddings",
    "QueryMetrics",
    "TextTooLong",
    "patience",
]
