"""A small folder of source code, and the command line run on it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_FILES = {
    "net/socket.c": "#include <linux/net.h>\n\nstatic int sock_create(int family)\n{\n\treturn -EINVAL;\n}\n",
    "net/packet.c": "/* packet queue */\nint packet_queue(struct sk_buff *skb)\n{\n\treturn sock_create(2);\n}\n",
    "net/tcp.c": "#include <linux/tcp.h>\n\nint tcp_connect(struct sock *sk)\n{\n\treturn sock_create(4);\n}\n",
    "fs/inode.c": "struct inode *inode_alloc(void)\n{\n\tstruct inode *found = alloc_page(NULL);\n\treturn found;\n}\n",
    "fs/café.c": "/* Straße, CAFÉ: names of all scripts, \u212aelvin */\nint unicode_names(void) { return 0; }\n",
    "docs/queue.rst": "The packet queue\n================\n\nA packet waits in the queue until the socket is ready.\n",
    "docs/inode.rst": "An inode names a file; inode_alloc makes one.\nTODO: say who frees it.\n",
    "docs/windows.txt": "lines that end\r\nas on another system\r\nwith inode_alloc;\r\n",
}


def write_sources(folder: Path) -> Path:
    """Write the files, and one that is no text."""
    for name, text in _FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    (folder / "firmware.bin").write_bytes(b"\0\1\2")
    return folder


def texts() -> list[str]:
    """What the files hold."""
    return list(_FILES.values())


def run_bench(arguments: list[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `embed-search bench` as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", "bench", *arguments],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
