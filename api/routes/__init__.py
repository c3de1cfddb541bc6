"""The HTTP surface: each route reads a request, calls one service and writes its answer, and does nothing else."""
