"""What `search` shows of an answer, from the API over fake indexes to the terminal."""

from click.testing import CliRunner

from infra.cli.search import search_command
from tests.api.process.test_server import serving


def test_explanations_are_shown_as_trees() -> None:
    """With `--explain`, each hit is taken apart: by fusion, then by each method; without, nothing is."""
    with serving(1) as server:
        options = ["--url", f"http://127.0.0.1:{server.port}", "--limit", "2", "--methods", "bm25,native"]
        explained = CliRunner().invoke(search_command, ["x", "--explain", *options])
        plain = CliRunner().invoke(search_command, ["x", *options])
    assert (explained.exit_code, plain.exit_code) == (0, 0), explained.output
    lines = [line.strip("│├└─ ") for line in explained.output.splitlines()]
    assert "2. title of document-001" in lines
    assert "0.0327869  fused score: sum of what the methods contribute" in lines
    assert "0.0163934  bm25: weight / (k + rank)" in lines
    assert "60  k" in lines
    assert "-1  native: as it is" in lines
    assert "fused score" not in plain.output
