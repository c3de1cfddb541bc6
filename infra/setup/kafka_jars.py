"""The step that fetches the Kafka broker through Maven, each jar held against its pinned checksum."""

import hashlib
import shutil
from pathlib import Path

from indexer.durable import sync_directory
from infra.setup.artifacts import KAFKA_JARS_PINNED, KAFKA_POM, Artifacts
from infra.setup.command import run
from infra.setup.errors import SetupError
from infra.setup.prerequisites import missing_maven
from infra.setup.report import Advance


class KafkaJars:
    """Have the jars that `infra/kafka/pom.xml` names."""

    title = "Kafka"

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def done(self) -> bool:
        """Whether the jars are there: the directory appears whole."""
        return self._artifacts.kafka_jars.is_dir()

    def missing(self) -> list[str]:
        """What has to be installed first."""
        return [line for line in (missing_maven(),) if line]

    def run(self, advance: Advance) -> None:
        """Fetch them aside, check them, and put them in place in one step."""
        place = self._artifacts.kafka_jars
        unfinished = place.with_name(place.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        pinned = pinned_jars()
        copied = 0

        def on_line(line: str) -> None:
            nonlocal copied
            copied += "Copying " in line
            advance(copied / len(pinned) if copied else -1.0, line.rpartition("/")[2].strip() if "Down" in line else "")

        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={unfinished}"]
        run(
            ["mvn", "--batch-mode", "--strict-checksums", "--file", str(KAFKA_POM), *goal],
            log=self._artifacts.root / "maven.log",
            on_line=on_line,
            advice="check the network and run it again",
        )
        _check(unfinished, pinned)
        unfinished.rename(place)
        sync_directory(place.parent)


def pinned_jars() -> dict[str, str]:
    """SHA-256 of each jar by its name."""
    lines = (line.split() for line in KAFKA_JARS_PINNED.read_text().splitlines())
    return {name: digest for digest, name in lines}


def _check(directory: Path, pinned: dict[str, str]) -> None:
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in directory.iterdir()}
    wrong = sorted(name for name in found.keys() | pinned.keys() if found.get(name) != pinned.get(name))
    if wrong:
        raise SetupError(f"Maven's jars are not those of {KAFKA_JARS_PINNED}: {', '.join(wrong)}")
