"""Relevance on judged collections: how good the rankings are, per method and fused."""
