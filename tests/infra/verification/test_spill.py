"""Rows in files: what comes back, and what it costs."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from infra.verification.judgement import Kind
from infra.verification.spill import PARTS, Spill

MEBIBYTE = 1 << 20
ROWS = 1_000_000


def test_rows_come_back_in_the_part_of_their_document(tmp_path: Path) -> None:
    """All rows of a document from one part, in any source, each with its id, over any number of flushes."""
    ids = [f"документ/{number % 700}" for number in range(2_000)]
    with Spill(tmp_path / "one") as one, Spill(tmp_path / "other") as other:
        for offset, name in enumerate(ids):
            one.add(name, 3, offset, content=2**64 - 1 - offset, kind=Kind.TOMBSTONE)
            if offset % 300 == 0:
                one.flush()
            other.add(name, 0, offset)
        one.flush()
        other.flush()
        found = [(one.id_at(int(r["place"])), r, n) for n in range(PARTS) for r in one.part(n)]
        assert sorted(int(row["offset"]) for _, row, _ in found) == list(range(2_000))
        assert all(name == ids[row["offset"]] for name, row, _ in found)
        assert all((row["partition"], row["kind"]) == (3, Kind.TOMBSTONE) for _, row, _ in found)
        assert all(int(row["content"]) == 2**64 - 1 - int(row["offset"]) for _, row, _ in found)
        parts = {name: number for name, _, number in found}
        assert {(name, number) for name, _, number in found} == set(parts.items())
        assert {(other.id_at(int(r["place"])), n) for n in range(PARTS) for r in other.part(n)} == set(parts.items())
        assert len(set(parts.values())) > PARTS // 2


def test_a_document_that_changes_all_the_time_takes_one_row_of_each_flush(tmp_path: Path) -> None:
    """Its newest; rows of other partitions stay."""
    with Spill(tmp_path / "topic", newest_only=True) as spill:
        for offset in range(1_000):
            spill.add("hot", offset % 2, offset)
        spill.flush()
        rows = np.concatenate([spill.part(number) for number in range(PARTS)])
    assert sorted(rows["offset"].tolist()) == [998, 999]


def test_a_million_documents_are_judged_in_little_memory(tmp_path: Path) -> None:
    """With faults of each class found among them, in a process that does nothing else."""
    command = [sys.executable, "-m", "tests.infra.verification.judging", str(tmp_path), str(ROWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, part_rows, *counts = map(int, done.stdout.split())
    assert counts == [ROWS // 1_000] * 4
    assert grown < 64 * MEBIBYTE
    assert part_rows < 1.2 * ROWS / PARTS
