"""`python -m infra.setup`: the Kafka jars, llama-cpp-python and the embedding model, each made once per machine."""

import os
import sys
from collections.abc import Mapping

from rich.console import Console

from infra.setup.artifacts import LOCK, Artifacts, cache_directory
from infra.setup.errors import SetupError
from infra.setup.kafka_jars import KafkaJars
from infra.setup.kernels import Kernels
from infra.setup.llama import LlamaInstalled, LlamaWheel
from infra.setup.minilm import Model
from infra.setup.prerequisites import missing_java
from infra.setup.report import Report
from infra.setup.steps import Step, complete


def main() -> None:
    """Exit 0 when everything is there, 1 when something is missing or failed, 130 when interrupted."""
    report = Report(Console(stderr=True))
    try:
        artifacts = Artifacts(cache_directory(os.environ))
        java = None if _other_kafka(os.environ) else missing_java()
        complete(_steps(artifacts, os.environ), root=artifacts.root, report=report, missing=[java] if java else [])
    except SetupError as exc:
        report.say(f"set-up stopped: {exc}" if "\n" not in str(exc) else f"set-up stopped:\n{exc}")
        sys.exit(1)
    except OSError as exc:
        report.say(f"set-up stopped: {exc}")
        sys.exit(1)
    except KeyboardInterrupt:
        report.say("set-up interrupted: run it again and it goes on from here")
        sys.exit(130)


def _steps(artifacts: Artifacts, environment: Mapping[str, str]) -> list[Step]:
    kafka: list[Step] = [] if _other_kafka(environment) else [KafkaJars(artifacts)]
    return [*kafka, *_llama(artifacts), Model(artifacts), Kernels(artifacts)]


def _llama(artifacts: Artifacts) -> list[Step]:
    """Outside a checkout the package installer has compiled it, as a dependency like all others."""
    if not LOCK.exists():
        return []
    wheel = LlamaWheel(artifacts)
    return [wheel, LlamaInstalled(artifacts, wheel)]


def _other_kafka(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("KAFKA_BOOTSTRAP_SERVERS"))


if __name__ == "__main__":
    main()
