"""Ports of local services."""

import socket
from pathlib import Path

import msgspec

from infra.local.ports import LocalPorts, held_ports


def choose(note: Path) -> LocalPorts:
    """What a system gets that ends at once."""
    with held_ports(note) as ports:
        return ports


def test_a_choice_is_remembered(tmp_path: Path) -> None:
    """The broker's address stays the same over restarts, so that clients keep working."""
    note = tmp_path / "ports.json"
    first = choose(note)
    assert choose(note) == first
    assert len(set(msgspec.structs.astuple(first))) == 3


def test_a_port_that_somebody_else_took_is_replaced(tmp_path: Path) -> None:
    """Only the port that is taken changes, and the change is remembered."""
    note = tmp_path / "ports.json"
    first = choose(note)
    with socket.create_server(("127.0.0.1", first.kafka)):
        second = choose(note)
    assert second.kafka != first.kafka
    assert (second.controller, second.postgres) == (first.controller, first.postgres)
    assert choose(note) == second


def test_systems_that_start_at_once_share_no_port(tmp_path: Path) -> None:
    """None of their services listens yet when both have chosen."""
    with held_ports(tmp_path / "one.json") as one, held_ports(tmp_path / "other.json") as other:
        assert set(msgspec.structs.astuple(one)).isdisjoint(msgspec.structs.astuple(other))
    assert choose(tmp_path / "one.json") == one


def test_a_damaged_note_is_written_anew(tmp_path: Path) -> None:
    """A note that was cut short is no reason not to start."""
    note = tmp_path / "ports.json"
    note.write_text('{"kafka": 90')
    chosen = choose(note)
    assert msgspec.json.decode(note.read_bytes(), type=LocalPorts) == chosen
