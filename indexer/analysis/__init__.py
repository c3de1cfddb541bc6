"""Text to terms: what makes a query and a document meet."""

from indexer.analysis.analyzer import ANALYZERS, Analyzer, Token, get_analyzer

__all__ = ["ANALYZERS", "Analyzer", "Token", "get_analyzer"]
