"""Asks a process of this machine how it is: `python -m infra.probes.ask livez 8080`.

For whatever watches containers and has no HTTP client in them. Exit status 0 for yes, 1 for no or no answer. It
imports next to nothing: it runs every few seconds, in the memory and on the processor of what it asks.
"""

import http.client
import sys
from typing import Final

TIMEOUT_SECONDS: Final = 4.0

_HOST: Final = "127.0.0.1"


def ask(path: str, port: int) -> str:
    """What is wrong; empty when nothing is.

    Args:
        path: a probe, such as `livez`.
        port: of the API, or of an indexer.
    """
    connection = http.client.HTTPConnection(_HOST, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/{path}")
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as exc:
        return f"/{path} on port {port} does not answer: {exc}"
    else:
        return "" if response.status == http.client.OK else f"/{path} answers {response.status}: {response.read()!r}"
    finally:
        connection.close()


def main() -> None:
    """Print what is wrong, and end with the status."""
    wrong = ask(sys.argv[1], int(sys.argv[2]))
    print(wrong or "ok")  # noqa: T201 - what is printed is kept by whoever asked
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
