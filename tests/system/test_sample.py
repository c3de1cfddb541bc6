"""The first minutes of a newcomer: the sample corpus, the printed `curl`, and a judged collection."""

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from infra.supervisor.ports import free_port
from tests.system.processes import program, run_command
from tests.system.waiting import until


@pytest.mark.usefixtures("model_path")
async def test_the_printed_curl_works_as_printed(tmp_path: Path) -> None:
    """The sample is loaded once, searchable, and a restart does not publish it again; an index left out is a 400."""
    port = free_port()
    arguments = ["up", "--data-dir", str(tmp_path / "data"), "--port", str(port), "--sample"]
    arguments += ["--indexes", "bm25,tantivy,native"]
    for life in range(2):
        with program(arguments, {}, tmp_path / f"{life}.log") as up:

            async def greeted() -> bool:
                assert up.running, up.output
                return "try it:" in up.output

            await until(greeted, "the sample is loaded")
            answer = json.loads(subprocess.run(printed_curl(up.output), capture_output=True, check=True).stdout)
            assert "heapq.nsmallest" in [hit["id"] for hit in answer["results"]]
            assert not answer["partial"]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                refused = http.post("/search", json={"query": "x", "methods": ["semantic"]})
                assert (refused.status_code, refused.json()["field"]) == (400, "methods")
                read = http.get("/health").json()["components"]["bm25"]["details"]
                assert read["watermark"]["documents"]["0"] == read["documents"] > 2_000
            assert up.stop(signal.SIGINT) == 0, up.output


def printed_curl(output: str) -> list[str]:
    """The command that `up` tells its user to try."""
    found = re.search(r"^  (curl .*)$", output, re.MULTILINE)
    assert found, output
    return shlex.split(found[1])


@pytest.mark.usefixtures("model_path")
def test_a_judged_collection_is_measured_by_every_method_and_fused(tmp_path: Path) -> None:
    """`eval` publishes it to a system of its own and prints what the rankings are worth."""
    corpus = [
        {"_id": "1", "title": "wings", "text": "lift of a swept wing in a slipstream"},
        {"_id": "2", "title": "heat", "text": "heat transfer at the stagnation point"},
        {"_id": "3", "title": "bridges", "text": "vibration of suspension bridges"},
    ]
    queries = [{"_id": "q1", "text": "swept wing lift"}, {"_id": "q2", "text": "stagnation heat transfer"}]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\t1\t1\nq2\t2\t1\n")
    result = run_command(["eval", str(tmp_path), "--json"], {})
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert set(figures) == {"bm25", "tantivy", "native", "semantic", "fused"}
    for ranking in ("bm25", "tantivy", "semantic", "fused"):
        assert figures[ranking] == {"ndcg_at_10": 1.0, "recall_at_100": 1.0}
