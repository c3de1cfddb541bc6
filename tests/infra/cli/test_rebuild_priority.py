"""How far a rebuild steps back."""

import os
import socket
from pathlib import Path

import psutil

from indexer.priority import session_niceness
from tests.system.processes import clean_environment, program
from tests.system.sessions import as_in_a_terminal, sessions_compete


def test_a_rebuild_lets_everybody_go_first(tmp_path: Path) -> None:
    """From its first question on, which is to the API."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with program(["rebuild", "bm25", "--url", url], {}, tmp_path / "rebuild.log") as rebuild:
            connection, _ = listener.accept()
            with connection:
                assert os.getpriority(os.PRIO_PROCESS, rebuild.pid) == 19
                assert session_niceness(rebuild.pid) in {None, 19}


def test_it_does_so_in_a_terminal_too(tmp_path: Path) -> None:
    """Which has as large a share of the processors as each service has: the rebuild leaves its session."""
    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "rebuild.log").open("w") as log:
        listener.settimeout(60)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = ["-m", "infra.cli", "rebuild", "bm25", "--url", url]
        with as_in_a_terminal(command, log, clean_environment()) as shell:
            connection, _ = listener.accept()
            with connection:
                rebuild = psutil.Process(shell.pid).children(recursive=True)[-1].pid
                assert os.getpriority(os.PRIO_PROCESS, rebuild) == 19
                assert session_niceness(rebuild) == (19 if sessions_compete() else None)
                assert session_niceness(shell.pid) == (0 if sessions_compete() else None)
