"""Runs a process in the root that a rehearsal made, as an engine would: another account, files read-only, pid 1."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from tests.delivery.dockerfile import Stage
from tests.delivery.rehearsal import bound, chroot_environment
from tests.system.processes import Running

STOP_SECONDS = 30.0


class Container:
    """A root of an image, mounted read-only, in which processes can be run.

    Args:
        root: where it is mounted.
        stage: that it was made of.
        environment: beside that of the image.
    """

    def __init__(self, root: Path, stage: Stage, environment: Mapping[str, str]) -> None:
        self._root = root
        self._stage = stage
        self._environment = dict(environment)

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as `docker exec` does."""
        return subprocess.run(
            [*self._enter(), *argv],
            env=self._variables({}),
            capture_output=True,
            text=True,
            timeout=STOP_SECONDS,
            check=False,
        )

    @contextlib.contextmanager
    def started(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator["Contained"]:
        """Run the entry point with a command, as pid 1 of a namespace of its own, for as long as the block."""
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={self._root}/proc"]
        argv = [*alone, *self._enter(), *self._stage.last("ENTRYPOINT").argv, *command]
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv, env=self._variables(environment), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            yield Contained(process, log)
        finally:
            process.kill()
            process.wait(STOP_SECONDS)

    def _enter(self) -> list[str]:
        account, place = self._stage.last("USER").text, self._stage.last("WORKDIR").text
        return ["chroot", f"--userspec={account}", str(self._root), "/usr/bin/env", "-C", place]

    def _variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        home = {"HOME": self._home()}
        return chroot_environment(self._stage.environment) | home | self._environment | dict(environment)

    def _home(self) -> str:
        """The home of the account, which engines look up as well."""
        number = self._stage.last("USER").text.partition(":")[0]
        accounts = (self._root / "etc" / "passwd").read_text().splitlines()
        return next(fields[5] for line in accounts if (fields := line.split(":"))[2] == number)


class Contained(Running):
    """A running process of a container."""

    def stop(self) -> int:
        """Ask it to stop, as engines do, and give its exit status."""
        (first,) = psutil.Process(self._process.pid).children()
        first.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)


@contextlib.contextmanager
def contained(root: Path, stage: Stage, data: Path, environment: Mapping[str, str]) -> Iterator[Container]:
    """Mount a root read-only, but for its data volume and `/tmp`.

    Args:
        root: that a rehearsal made.
        stage: that it was made of.
        data: shown as the volume.
        environment: of all processes in it.
    """
    view = root.with_suffix(".view")
    with contextlib.ExitStack() as stack:
        for place in ("proc", "dev", "tmp"):
            (root / place).mkdir(exist_ok=True)
        stack.enter_context(bound(root, view, "ro"))
        stack.enter_context(bound(Path("/proc"), view / "proc"))
        stack.enter_context(bound(Path("/dev"), view / "dev"))
        stack.enter_context(_in_memory(view / "tmp"))
        stack.enter_context(bound(data, view / stage.last("VOLUME").text.lstrip("/")))
        yield Container(view, stage, environment)


@contextlib.contextmanager
def _in_memory(place: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)
