"""A real PostgreSQL with pgvector as a local service."""
