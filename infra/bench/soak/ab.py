"""ApacheBench, and what it prints.

It is asked as people ask it, without `-l`: it then counts answers of another length than the first one as failed, and
ours differ by the digits of `duration_ms`. Those are told apart by its own breakdown, and are no failures.
"""

import asyncio
import re
import shutil
from collections.abc import Sequence

import msgspec

from infra.bench.errors import BenchFailed

_KINDS = re.compile(r"Connect: (\d+), Receive: (\d+), Length: (\d+), Exceptions: (\d+)")
_RANK = re.compile(r"^ +(\d+)% +(\d+)", re.MULTILINE)
_TOLD_CHARACTERS = 300


class AbFigures(msgspec.Struct, frozen=True):
    """What ApacheBench measured.

    Attributes:
        command: that was run.
        complete: requests.
        failed: those without an answer, or with one that is no success.
        other_length: answers of another length than the first one.
        rate: requests a second.
        seconds: of all of it.
        percentiles: milliseconds, by percent.
    """

    command: str
    complete: int
    failed: int
    other_length: int
    rate: float
    seconds: float
    percentiles: dict[int, int]


def find_ab() -> str:
    """The program.

    Raises:
        BenchFailed: it is not installed.
    """
    if (program := shutil.which("ab")) is None:
        raise BenchFailed("ab (ApacheBench) is not installed: apt-get install apache2-utils")
    return program


async def run_ab(url: str, *, requests: int, concurrency: int) -> AbFigures:
    """Ask a URL as fast as it is answered.

    Raises:
        BenchFailed: `ab` is missing, or gave up.
    """
    arguments = ("-n", str(requests), "-c", str(concurrency), url)
    process = await asyncio.create_subprocess_exec(
        find_ab(), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BenchFailed(f"`ab {' '.join(arguments)}` gave up: {errors.decode().strip()[-_TOLD_CHARACTERS:]}")
    return read_output(output.decode(), ("ab", *arguments))


def read_output(output: str, command: Sequence[str]) -> AbFigures:
    """What it printed.

    Args:
        output: of `ab`.
        command: that was run.

    Raises:
        BenchFailed: that is not what `ab` prints.
    """
    kinds = _KINDS.search(output)
    connect, receive, length, exceptions = map(int, kinds.groups()) if kinds else (0, 0, 0, 0)
    refused = int(_number(output, "Non-2xx responses", missing="0"))
    return AbFigures(
        " ".join(command),
        complete=int(_number(output, "Complete requests")),
        failed=connect + receive + exceptions + refused,
        other_length=length,
        rate=float(_number(output, "Requests per second")),
        seconds=float(_number(output, "Time taken for tests")),
        percentiles={int(percent): int(ms) for percent, ms in _RANK.findall(output)},
    )


def _number(output: str, name: str, *, missing: str | None = None) -> str:
    found = re.search(rf"^{re.escape(name)}: +([\d.]+)", output, re.MULTILINE)
    if found is not None:
        return found[1]
    if missing is None:
        raise BenchFailed(f"ab does not say its {name!r}")
    return missing
