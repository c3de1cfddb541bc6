"""What the Dockerfile names is there, and what it promises holds."""

import re
import shlex
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.delivery.dockerfile import Stage, read_dockerfile
from tests.delivery.manifests import DOCKERFILE, ROOT
from tests.delivery.names import SETTINGS, settings_of, understands

STAGES = {stage.name: stage for stage in read_dockerfile(DOCKERFILE)}
RUNTIME = STAGES["runtime"]
_PIN = re.compile(r"uv==([\d.]+)|UV_VERSION='([\d.]+)'")


def _ignored(path: str) -> bool:
    """Whether the file of ignored names, a list of what is let in, keeps a path out of the build."""
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    return path.partition("/")[0] not in let_in


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_what_is_copied_exists(stage: Stage) -> None:
    """In the repository, and not kept out of the build; or in an earlier stage."""
    for instruction in stage.instructions:
        if instruction.name == "COPY" and "from" not in instruction.flags:
            for source in instruction.words[:-1]:
                assert (ROOT / source).exists(), source
                assert not _ignored(source), source


def test_all_packages_are_in_the_image() -> None:
    """Each one that the wheel has, and what it says of itself."""
    copied = {
        word for step in STAGES["build"].instructions if step.name == "COPY" for word in step.words if "." not in word
    }
    project = (ROOT / "pyproject.toml").read_text()
    found = re.search(r"\[tool\.hatch\.build\.targets\.wheel\]\npackages = (\[.*\])", project)
    assert found
    assert set(re.findall(r'"(\w+)"', found[1])) <= copied


def test_the_environment_is_of_settings() -> None:
    """Those of ours are known, and are valid together."""
    ours = {name: value for name, value in RUNTIME.environment.items() if name.startswith("EMBED_SEARCH_")}
    settings = settings_of(ours | {"MODEL_PATH": RUNTIME.environment["MODEL_PATH"]})
    assert settings.model_path == Path("/models/nomic-embed-text-v1.5.Q4_K_M.gguf")
    assert RUNTIME.environment.keys() - SETTINGS == {
        "NUMBA_CPU_NAME",
        "NUMBA_CPU_FEATURES",
        "PATH",
        "PYTHONUNBUFFERED",
    }


def test_the_port_is_that_of_the_settings() -> None:
    """In what is exposed, set and checked."""
    port = str(Settings.model_fields["port"].default)
    assert RUNTIME.last("EXPOSE").text == RUNTIME.environment["EMBED_SEARCH_PORT"] == port
    assert RUNTIME.last("HEALTHCHECK").argv[-1] == port


def test_the_data_are_on_the_volume() -> None:
    """Nothing else can be written to where files are read-only."""
    assert RUNTIME.last("VOLUME").text == RUNTIME.environment["EMBED_SEARCH_DATA_DIR"] == RUNTIME.last("WORKDIR").text


def test_nothing_runs_as_root() -> None:
    """In numbers, so that whoever runs the image can see it."""
    user, group = RUNTIME.last("USER").text.split(":")
    assert int(user) > 0 < int(group)
    last = RUNTIME.instructions.index(RUNTIME.last("USER"))
    assert all(step.name != "RUN" for step in RUNTIME.instructions[last:])


def test_commands_are_run_without_a_shell_and_below_an_init() -> None:
    """Else signals end at the shell, and children that died stay."""
    entry, command, check = (RUNTIME.last(name) for name in ("ENTRYPOINT", "CMD", "HEALTHCHECK"))
    assert entry.is_exec_form
    assert command.is_exec_form
    assert check.is_exec_form
    assert entry.argv == ["tini", "--", "embed-search"]
    assert understands(command.argv)


def test_the_health_check_is_a_program_of_ours() -> None:
    """It asks whether the process lives: what else is not well is no reason to start it again."""
    python, flag, module, path, _ = RUNTIME.last("HEALTHCHECK").argv
    assert (python, flag, path) == ("python", "-m", "livez")
    assert (ROOT / f"{module.replace('.', '/')}.py").exists()


def test_nothing_that_compiles_is_in_the_finished_image() -> None:
    """Nor uv: both are in the stage that builds."""
    installed = " ".join(step.text for name in ("python", "runtime") for step in STAGES[name].instructions)
    assert not {"g++", "gcc", "python3-venv", "uv", "pip"} & set(shlex.split(installed.replace(";", " ")))
    assert [step.flags.get("from") for step in RUNTIME.instructions if step.name == "COPY"] == ["build"]


def test_the_image_is_built_by_the_uv_of_set_up() -> None:
    """One that understands the lock file as it was written."""
    texts = (DOCKERFILE.read_text(), (ROOT / "infra" / "setup" / "bootstrap.sh").read_text())
    pinned = {first or second for text in texts for first, second in _PIN.findall(text)}
    assert len(pinned) == 1


def test_a_model_that_is_baked_in_is_checked() -> None:
    """Against the file beside it, where the setting will look for it."""
    stage = STAGES["with-model"]
    name = Path(RUNTIME.environment["MODEL_PATH"]).name
    assert stage.last("COPY").words == [name, f"{name}.sha256", "/models/"]
    assert stage.last("RUN").argv == ["sha256sum", "--check", "--strict", f"{name}.sha256"]
    assert stage.last("WORKDIR").text == RUNTIME.last("WORKDIR").text


def test_the_image_without_a_name_is_the_finished_one() -> None:
    """`docker build` without a target makes what runs."""
    assert read_dockerfile(DOCKERFILE)[-1].base == "runtime"
