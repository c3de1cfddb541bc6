"""The whole system, as users run it: real processes, real Kafka, real PostgreSQL, the real model."""
