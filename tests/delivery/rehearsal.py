"""Carries out a Dockerfile without an engine, as root: each stage is a folder, and each RUN happens in a chroot of it.

The base image is Debian's own, made by debootstrap. What an engine adds beyond files (layers, networks, capabilities)
is not rehearsed; that the root is read-only is, by mounting it so.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.delivery.dockerfile import Instruction, Stage

_STEP_SECONDS = 3_600
_KEPT = ("PIP_DEFAULT_TIMEOUT", "PIP_CERT", "SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
"""Of our environment, how this machine reaches package registries."""

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Rehearsal:
    """The stages of a Dockerfile, as folders.

    Args:
        stages: of the Dockerfile.
        context: the folder that is built from.
        workshop: for the folders; `cache` below it can be kept for the next time.
        base: the root of the base image.
        contexts: other folders that are built from, by name.
    """

    def __init__(
        self, stages: list[Stage], context: Path, workshop: Path, base: Path, contexts: Mapping[str, Path]
    ) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._context = context
        self._workshop = workshop
        self._base = base
        self._contexts = contexts

    def build(self, name: str) -> Path:
        """Carry out a stage, after those that it needs; gives its root."""
        stage = self._stages[name]
        root = self._workshop / name
        if root.exists():
            return root
        below = self.build(stage.base) if stage.base in self._stages else self._base
        for copied in stage.instructions:
            if copied.flags.get("from") in self._stages:
                self.build(copied.flags["from"])
        unfinished = self._workshop / f"{name}.unfinished"
        subprocess.run(["cp", "--archive", "--reflink=auto", below, unfinished], check=True)
        place = "/"
        for instruction in stage.instructions:
            if instruction.name == "WORKDIR":
                place = instruction.text
                (unfinished / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif instruction.name == "COPY":
                self._copy(instruction, unfinished / place.lstrip("/"), unfinished)
            elif instruction.name == "RUN":
                self._run(instruction, unfinished, place, stage.environment)
        unfinished.rename(root)
        return root

    def _copy(self, instruction: Instruction, place: Path, root: Path) -> None:
        *sources, target = instruction.words
        origin = self._origin(instruction)
        into = root / target.lstrip("/") if target.startswith("/") else place / target
        for source in sources:
            path = origin / source.lstrip("/")
            if path.is_dir():  # its content is copied
                shutil.copytree(path, into, symlinks=True, dirs_exist_ok=True, ignore=_ignored)
            else:
                target_file = into / path.name if target.endswith("/") else into
                target_file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target_file)

    def _origin(self, instruction: Instruction) -> Path:
        name = instruction.flags.get("from")
        if name is None:
            return self._context
        return self._workshop / name if name in self._stages else self._contexts[name]

    def _run(self, instruction: Instruction, root: Path, place: str, environment: Mapping[str, str]) -> None:
        argv = instruction.argv if instruction.is_exec_form else ["/bin/sh", "-c", instruction.text]
        with self._mounted(root, instruction):
            subprocess.run(
                ["chroot", root, "/usr/bin/env", "-C", place, *argv],
                env=chroot_environment(environment),
                check=True,
                timeout=_STEP_SECONDS,
            )

    @contextlib.contextmanager
    def _mounted(self, root: Path, instruction: Instruction) -> Iterator[None]:
        """What an engine brings into a RUN: devices, processes, names, and the cache."""
        with contextlib.ExitStack() as stack:
            for source in ("/proc", "/dev", "/etc/resolv.conf", "/etc/hosts"):
                stack.enter_context(bound(Path(source), root / source.lstrip("/")))
            if _CERTIFICATES.exists() and (root / "etc/ssl/certs").is_dir():
                stack.enter_context(bound(_CERTIFICATES, root / str(_CERTIFICATES).lstrip("/")))
            mount = dict(pair.split("=", 1) for pair in instruction.flags.get("mount", "").split(",") if pair)
            if mount:
                assert mount["type"] == "cache", mount
                cache = self._workshop / "cache"
                cache.mkdir(exist_ok=True)
                stack.enter_context(bound(cache, root / mount["target"].lstrip("/")))
            yield


def _ignored(directory: str, names: list[str]) -> set[str]:
    """What the file of ignored names leaves out of the context; what another stage made is all there."""
    return set() if "site-packages" in directory else {"__pycache__"}.intersection(names)


@contextlib.contextmanager
def bound(source: Path, target: Path, *options: str) -> Iterator[None]:
    """Show a file or folder at another place for as long as the block runs."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    subprocess.run(["mount", "--bind", source, target], check=True)
    try:
        if options:
            subprocess.run(["mount", "-o", ",".join(("remount", "bind", *options)), target], check=True)
        yield
    finally:
        subprocess.run(["umount", target], check=True)


def chroot_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process in a root: that of the image, and how to reach registries."""
    kept = {name: value for name in _KEPT if (value := os.environ.get(name))}
    return (
        {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
        | kept
        | dict(environment)
    )
