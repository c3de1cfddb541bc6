"""Fetches and builds once what a run needs and the locked Python environment cannot bring: `python -m infra.setup`."""
