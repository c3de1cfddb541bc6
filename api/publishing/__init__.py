"""The way documents get in by HTTP: bounded in memory, answered whatever Kafka does."""
