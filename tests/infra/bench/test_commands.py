"""The commands end to end, on a small folder."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.infra.bench.folders import run_bench, texts, write_sources

needs_ripgrep = pytest.mark.skipif(shutil.which("rg") is None, reason="ripgrep is not installed")


def test_bm25_is_compared_with_every_peer(tmp_path: Path) -> None:
    """One run gives figures of each engine, on all documents and on the part that peers in memory hold."""
    arguments = ["bm25", str(write_sources(tmp_path)), "--queries", "20", "--subset", "6", "--limit", "3", "--json"]
    result = run_bench(arguments)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    names = [row["engine"].split()[0].strip(",") for row in report["rows"]]
    assert names == ["bm25", "tantivy", "tantivy", "bm25", "rank_bm25", "bm25s"]
    assert [row["documents"] for row in report["rows"]] == [len(texts())] * 3 + [6] * 3
    assert all(0 < row["median_ms"] <= row["p99_ms"] for row in report["rows"])
    assert report["rows"][0]["ratio"] == report["rows"][3]["ratio"] == 1
    assert report["rows"][0]["index"]["size_mb"] > 0
    assert report["agreements"][0]["queries"] == report["queries"] == 20
    assert report["agreements"][0]["differing"] == 0


@needs_ripgrep
def test_native_finds_what_ripgrep_finds(tmp_path: Path) -> None:
    """The sets of matching documents are the same for patterns of every shape."""
    result = run_bench(["native", str(write_sources(tmp_path)), "--queries", "60", "--json"])
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert [row["engine"].split()[0] for row in report["rows"]] == ["native", "ripgrep"]
    assert report["agreements"][0]["queries"] == report["queries"] == 60
    assert report["agreements"][0]["differing"] == 0


@needs_ripgrep
def test_a_table_names_the_engines_the_machine_and_the_verdict(tmp_path: Path) -> None:
    """A person reads figures together with the machine they hold for."""
    result = run_bench(["native", str(write_sources(tmp_path)), "--queries", "15", "--files", "5"])
    assert result.returncode == 0, result.stderr
    assert all(told in result.stdout for told in ("native", "ripgrep", "median ms", "Python 3.", "agree: "))


def test_a_peer_that_finds_something_else_fails_the_command(tmp_path: Path) -> None:
    """A script that compares must not take a wrong answer for a fast one."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "rg"
    program.write_text("#!/bin/sh\necho fake-grep 1.0\n")
    program.chmod(0o755)
    folder = write_sources(tmp_path / "sources")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    result = run_bench(["native", str(folder), "--queries", "5"], {"PATH": path})
    assert result.returncode == 1
    assert "DIFFER: the set of matching documents against fake-grep 1.0, 5 queries: 5 differ" in result.stdout


def test_without_ripgrep_only_our_own_figures_are_told(tmp_path: Path) -> None:
    """A peer that is not installed is left out, and the report says so."""
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    folder = write_sources(tmp_path / "sources")
    result = run_bench(["native", str(folder), "--queries", "5", "--json"], {"PATH": str(nowhere)})
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert [row["engine"] for row in report["rows"]] == ["native"]
    assert report["notes"] == ["ripgrep is not installed and was left out"]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """The indexes and copies of a run are gone with it, also when it fails."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    empty = tmp_path / "empty"
    empty.mkdir()
    folder = write_sources(tmp_path / "sources")
    done = run_bench(["native", str(folder), "--queries", "5"], {"TMPDIR": str(temporary)})
    failed = run_bench(["native", str(empty)], {"TMPDIR": str(temporary)})
    assert (done.returncode, failed.returncode) == (0, 1)
    assert "holds no text files" in failed.stderr
    assert not [left.name for left in temporary.iterdir() if left.name.startswith("embed-search")]
