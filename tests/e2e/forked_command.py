"""``massive-upload`` interrupted, or killed: from outside, or at a chosen write to its state."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cli import local_run
from cli.main import main
from local.aws.state import StateDirectory
from massive_upload.domain.load import Load

PATIENCE_SECONDS = 120
_LOOK_SECONDS = 0.1

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.e2e.forked_command", "cli.resume", "cli.request"])


class Moment(Enum):
    """When the process dies: a write and what it follows from, or what follows from it, are lost."""

    BEFORE = "before the write"
    AFTER = "after the write"


@dataclass(frozen=True)
class Kill:
    """At which write the process kills itself, counted from 1."""

    write: int
    moment: Moment


class Command:
    """A process in a group of its own, forked from one that has loaded the libraries; its stack is synthesized already.

    Args:
        arguments: of the command line.
        assembly: the synthesized stack.
        environment: what the process knows beside its own.
        directory: where it runs, and where its output goes.
        kill: when it kills itself, if it does.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        assembly: Path,
        environment: Mapping[str, str],
        directory: Path,
        kill: Kill | None = None,
    ) -> None:
        self._directory = directory
        self._process = _processes.Process(
            target=_run, args=(list(arguments), assembly, dict(environment), directory, kill)
        )
        for name in ("stdout", "stderr"):
            (directory / name).write_text("")
        self._process.start()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Whether the process has ended within some seconds."""
        self._process.join(seconds)
        return self._process.exitcode is not None

    def wait_for_line(self, words: str) -> None:
        """Until a line of its standard error output has some words; pytest's time-out bounds it."""
        while words not in self.errors:
            assert not self.wait(_LOOK_SECONDS), f"The command ended without a line with {words!r}: {self.errors}"

    def press_ctrl_c(self) -> None:
        """As a terminal sends it: to the command and every process of its group."""
        os.killpg(self._pid, signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        """As ``kill`` sends it: to the command alone."""
        os.kill(self._pid, number)

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()
        self._process.join()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit status, or the negative number of the signal."""
        return self._process.exitcode

    @property
    def output(self) -> str:
        return (self._directory / "stdout").read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        return (self._directory / "stderr").read_text(encoding="utf-8")


def _run(arguments: list[str], assembly: Path, environment: dict[str, str], directory: Path, kill: Kill | None) -> None:
    def prepared(_outdir: Path, _load: Load) -> Path:
        return assembly

    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests under nohup has them ignore it
    os.chdir(directory)
    os.environ.update(environment)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(name, os.O_WRONLY)
        os.dup2(file, descriptor)
    local_run.synthesize_apart = prepared  # type: ignore[assignment, attr-defined]
    if kill is not None:
        _install(kill)
    sys.argv = ["massive-upload", *arguments]
    main()


def _install(kill: Kill) -> None:
    original = StateDirectory._write
    writes = 0

    def write(state: StateDirectory, statement: str, values: Sequence[str | bytes | None]) -> None:
        nonlocal writes
        writes += 1
        is_chosen = writes == kill.write
        if is_chosen and kill.moment is Moment.BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        original(state, statement, values)
        if is_chosen:
            os.kill(os.getpid(), signal.SIGKILL)

    StateDirectory._write = write  # type: ignore[assignment, method-assign]
