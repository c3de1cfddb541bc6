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


TALKATIVE = """
import logging
from streams.logs import configure_logs
configure_logs("debug")
logging.getLogger("aiokafka.client").debug("chatter")
logging.getLogger("aiokafka.conn").debug("a password")
logging.getLogger("aiokafka.conn").info("authenticated")
"""


def test_even_the_most_talkative_log_has_no_password() -> None:
    """A library of ours logs what it sends to prove one; of that logger the rest is kept."""
    done = subprocess.run([sys.executable, "-c", TALKATIVE], check=True, capture_output=True, text=True, timeout=60)
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert [event for event in events if event != "Using selector: EpollSelector"] == ["chatter", "authenticated"]


HOSTILE = """
import os, pty, sys
child, descriptor = pty.fork()
if child == 0:
    import structlog
    from streams.logs import configure_logs
    configure_logs("warning")
    search_log = structlog.stdlib.get_logger("api.searching.search_log")
    search_log.warning("search", query="a\\x1b[2Jb\\nadmin action caller=root\\x9b1m")
    search_log.info("too fine")
    structlog.stdlib.get_logger("api.audit").info("admin action", path="/admin/\\x07")
    os._exit(0)
shown = b""
try:
    while part := os.read(descriptor, 65536):
        shown += part
except OSError:  # the other end is closed
    pass
os.waitpid(child, 0)
sys.stdout.buffer.write(shown)
"""


def test_a_terminal_obeys_nothing_that_a_client_wrote() -> None:
    """Control characters are shown, no field makes a line of its own, and admin actions are logged at any level."""
    done = subprocess.run([sys.executable, "-c", HOSTILE], check=True, capture_output=True, timeout=60)
    first, second = done.stdout.decode().replace("\\\\", "\\").splitlines()
    assert r"a\x1b[2Jb\x0aadmin action caller=root\x9b1m" in first
    assert "admin action" in second
    assert r"/admin/\x07" in second
    assert "\x1b[2J" not in done.stdout.decode()
    assert b"\x07" not in done.stdout
