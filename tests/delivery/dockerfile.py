"""Reads a Dockerfile: its stages, and what each instruction says once variables are put in.

No more of the language than ours uses; what is not understood fails, so that no instruction goes unseen.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

_STAGE = re.compile(r"(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")
_PLAIN = frozenset({"LABEL", "EXPOSE", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})


class Instruction(msgspec.Struct, frozen=True):
    """One instruction.

    Attributes:
        name: in capitals.
        text: what follows, variables put in, flags taken off.
        flags: such as `from` of COPY.
    """

    name: str
    text: str
    flags: dict[str, str] = {}

    @property
    def words(self) -> list[str]:
        """The arguments: those of the exec form, or else those between blanks."""
        return self.argv if self.is_exec_form else shlex.split(self.text)

    @property
    def is_exec_form(self) -> bool:
        """Whether it is a JSON list, which no shell reads."""
        return self.text.startswith("[")

    @property
    def argv(self) -> list[str]:
        """The words of the exec form."""
        return [str(word) for word in json.loads(self.text)]


class Stage(msgspec.Struct, frozen=True):
    """One stage.

    Attributes:
        name: its own, or its number.
        base: an image, or the name of an earlier stage.
        instructions: in order; variables of ENV are those of `environment` as well.
        environment: what ENV sets, here and in the stage below.
        below: the stage that it goes on from; None for an image.
    """

    name: str
    base: str
    instructions: list[Instruction]
    environment: dict[str, str]
    below: "Stage | None" = None

    def last(self, name: str) -> Instruction:
        """The instruction of a name that holds in the end, given here or below."""
        given = [instruction for instruction in self.instructions if instruction.name == name]
        if given or self.below is None:
            return given[-1]
        return self.below.last(name)


def read_dockerfile(path: Path) -> list[Stage]:
    """The stages, in order."""
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for name, text in _instructions(path.read_text()):
        if name == "FROM":
            found = _STAGE.fullmatch(_put_in(text, arguments))
            assert found, text
            below = {stage.name: stage for stage in stages}.get(found["base"])
            inherited = dict(below.environment) if below else {}
            stages.append(Stage(found["name"] or str(len(stages)), found["base"], [], inherited, below))
        elif name == "ARG":
            key, _, default = text.partition("=")
            arguments.setdefault(key, default)
        else:
            _add(stages[-1], name, text, arguments)
    return stages


def _add(stage: Stage, name: str, text: str, arguments: dict[str, str]) -> None:
    if name == "RUN":  # its variables are the shell's
        flags, text = _flags(text)
        stage.instructions.append(Instruction(name, text, flags))
        return
    text = _put_in(text, arguments | stage.environment)
    if name == "ENV":
        for pair in shlex.split(text):
            key, _, value = pair.partition("=")
            stage.environment[key] = value
        return
    flags, text = _flags(text)
    if name == "HEALTHCHECK":
        assert text.startswith("CMD "), text
        text = text.removeprefix("CMD ").strip()
    else:
        assert name in {*_PLAIN, "COPY", "ENTRYPOINT", "CMD"}, name
    stage.instructions.append(Instruction(name, text, flags))


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    for line in joined.splitlines():
        name, _, rest = line.partition(" ")
        yield name.upper(), rest.strip()


def _flags(text: str) -> tuple[dict[str, str], str]:
    flags = {}
    while found := _FLAG.match(text):
        flags[found[1]] = found[2]
        text = text[found.end() :]
    return flags, text


def _put_in(text: str, variables: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables[found[1]], text)
