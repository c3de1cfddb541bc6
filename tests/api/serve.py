"""Runs the real server over fake indexes, as a program of its own: `python -m tests.api.serve PORT WORKERS`."""

import sys

from api.process.server import run
from streams.settings import load_settings

if __name__ == "__main__":
    port, workers = (int(argument) for argument in sys.argv[1:])
    run(load_settings(port=port, workers=workers), factory="tests.api.fake_worker:worker_app")
