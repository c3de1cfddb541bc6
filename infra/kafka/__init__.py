"""A real Kafka broker as a local service."""
