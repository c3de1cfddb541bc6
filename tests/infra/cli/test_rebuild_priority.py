"""How far a rebuild steps back."""

import os
import socket
from pathlib import Path

from indexer.priority import session_niceness
from tests.system.processes import program


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
