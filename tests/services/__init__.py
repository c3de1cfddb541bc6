"""Real services for tests: in containers where a Docker engine answers, else by the project's own launchers."""
