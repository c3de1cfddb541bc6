"""Logs of a process that nobody watches."""

import json
import subprocess
import sys

PROGRAM = """
import logging, structlog
from streams.logs import configure_logs
configure_logs("info")
structlog.stdlib.get_logger("indexer.consumer").info("indexing", index="bm25", text="a\\nb")
structlog.stdlib.get_logger("indexer.consumer").debug("too fine")
logging.getLogger("aiokafka").info("chatter")
logging.getLogger("aiokafka").warning("trouble %s", "here")
try:
    1 / 0
except ZeroDivisionError:
    structlog.stdlib.get_logger("api").exception("failed")
"""


def test_a_log_is_one_json_object_a_line() -> None:
    """Ours from the level on that was asked for, libraries' from warning on, tracebacks inside the line."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["indexing", "trouble here", "failed"]
    assert lines[0] | {"timestamp": ""} == {
        "event": "indexing",
        "index": "bm25",
        "text": "a\nb",
        "level": "info",
        "logger": "indexer.consumer",
        "timestamp": "",
    }
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert done.stdout == ""
