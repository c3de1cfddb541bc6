"""What every process agrees on: documents, changes, topics, positions, the broker, settings and telemetry."""
