"""Ports of the services that `up` starts: the usual ones when they are free, and the same again at every start."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from indexer.durable import replace_file
from infra.supervisor.ports import free_port, held_port
from infra.supervisor.service import StartError


class LocalPorts(msgspec.Struct, frozen=True):
    """Where local services listen on the loopback interface."""

    kafka: int
    controller: int
    postgres: int


_USUAL: Final = LocalPorts(kafka=9092, controller=9093, postgres=5432)


@contextmanager
def held_ports(remembered: Path) -> Iterator[LocalPorts]:
    """Choose ports that are free, note them for the next start, and hold them for as long as the block.

    Args:
        remembered: file that keeps the choice.
    """
    noted = noted_ports(remembered)
    wanted = noted or _USUAL
    with ExitStack() as held:
        chosen = LocalPorts(*(_free_or_other(getattr(wanted, name), held) for name in LocalPorts.__struct_fields__))
        if chosen != noted:
            replace_file(remembered, msgspec.json.encode(chosen))
        yield chosen


def noted_ports(remembered: Path) -> LocalPorts | None:
    """The ports of the last start, if there was one.

    Args:
        remembered: file that keeps the choice.
    """
    try:
        return msgspec.json.decode(remembered.read_bytes(), type=LocalPorts)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _free_or_other(port: int, held: ExitStack) -> int:
    while True:
        try:
            held.enter_context(held_port(port, purpose="a local service", option="another one"))
        except StartError:
            port = free_port()
        else:
            return port
