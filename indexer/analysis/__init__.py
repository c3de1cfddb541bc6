"""Text to terms: what makes a query and a document meet."""

from indexer.analysis.analyzer import Analyzer, Token
from indexer.analysis.languages import ANALYZERS, analyzer_name, get_analyzer

__all__ = ["ANALYZERS", "Analyzer", "Token", "analyzer_name", "get_analyzer"]
