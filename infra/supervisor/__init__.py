"""Starts, watches, restarts and stops the processes of a system that runs on one machine."""
