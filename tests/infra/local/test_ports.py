"""Ports of local services."""

import socket
from pathlib import Path

import msgspec

from infra.local.ports import LocalPorts, choose_ports


def test_a_choice_is_remembered(tmp_path: Path) -> None:
    """The broker's address stays the same over restarts, so that clients keep working."""
    note = tmp_path / "ports.json"
    first = choose_ports(note)
    assert choose_ports(note) == first
    assert len(set(msgspec.structs.astuple(first))) == 3


def test_a_port_that_somebody_else_took_is_replaced(tmp_path: Path) -> None:
    """Only the port that is taken changes, and the change is remembered."""
    note = tmp_path / "ports.json"
    first = choose_ports(note)
    with socket.create_server(("127.0.0.1", first.kafka)):
        second = choose_ports(note)
    assert second.kafka != first.kafka
    assert (second.controller, second.postgres) == (first.controller, first.postgres)
    assert choose_ports(note) == second


def test_a_damaged_note_is_written_anew(tmp_path: Path) -> None:
    """A note that was cut short is no reason not to start."""
    note = tmp_path / "ports.json"
    note.write_text('{"kafka": 90')
    chosen = choose_ports(note)
    assert msgspec.json.decode(note.read_bytes(), type=LocalPorts) == chosen
