"""The API against its own OpenAPI document: whatever is sent is answered as the document says, and never with 500."""

import os
import subprocess
import sys
from pathlib import Path

from tests.api.process.test_server import serving
from tests.streams.kafka import make_topics

EXAMPLES = 20
"""Of each operation and phase, beside all boundaries; the same in each run, so that a failure can be seen again."""

LONGEST = 200

NOT_HELD = (
    # Documents go to Kafka, and are found and gone once the indexes have read that far, which is what 202 means.
    "use_after_free",
    "ensure_resource_availability",
    # Some rules are none of a schema's: a token is one of ours, the id in a body is the one in the address.
    "positive_data_acceptance",
)


async def test_the_api_keeps_its_own_description(kafka_bootstrap: str, tmp_path: Path) -> None:
    """Examples, every boundary of every schema, random requests and chains of them, under all checks."""
    topic = await make_topics(kafka_bootstrap)
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "EMBED_SEARCH_TOPIC": topic,
        "EMBED_SEARCH_DATA_DIR": str(tmp_path / "data"),
    }
    with serving(1, environment) as server:
        url = f"http://127.0.0.1:{server.port}/openapi.json"
        command = [sys.executable, "-m", "schemathesis.cli", "run", url, "--checks", "all"]
        command += ["--max-examples", str(EXAMPLES), "--generation-deterministic", "--seed", "1"]
        command += ["--exclude-checks", ",".join(NOT_HELD)]
        done = subprocess.run(
            [*command, "--no-color"],
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.api.fuzzing_hooks", "PYTHONPATH": str(Path.cwd())},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
        assert server.process.poll() is None
