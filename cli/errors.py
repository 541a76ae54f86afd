"""How a command ends: its exit status, and one clear line for what went wrong."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, unique

import typer

from cli.printable import printable_lines
from local.aws.state import StateDirectoryError
from massive_upload.domain.progress import RunStatus
from massive_upload.errors import (
    ConfigurationError,
    FinalError,
    InternalError,
    LoadError,
    PassingError,
    RunError,
    RunNotResumable,
    error_names,
)


@unique
class ExitCode(IntEnum):
    """The exit status of every command."""

    OK = 0
    CRITERION_NOT_MET = 1
    WRONG_CONFIGURATION = 2
    STOPPED = 3
    INTERNAL_FAILURE = 4
    FILES_NOT_WRITTEN = 5
    """The run ended well, and what it leaves behind or says could not be written."""


class UsageMistake(Exception):
    """The command cannot begin as it was given; the message says what is wrong and what to write instead."""


class RunRefused(Exception):
    """An execution ended before it carried a run out.

    Attributes:
        exit_code: whose fault it is.
    """

    def __init__(self, error: str, cause: str) -> None:
        self.exit_code = exit_code_of(status=None, error=error, was_planned=False)
        super().__init__(f"{error}: {cause}")


_UNMET = frozenset(
    {
        RunError.BELOW_CRITERION,
        RunError.PARTITIONS_FAILED,
        RunError.LANES_UNFINISHED,
        RunError.ROWS_UNSETTLED,
        RunError.EXECUTION_TIMED_OUT,
        RunError.EXECUTION_FAILED,
    }
)
"""What a run has that came to an end and is not as it should be."""

_KNOWN = frozenset({*error_names(PassingError), *error_names(FinalError), RunError.NOT_PLANNED}) - {
    InternalError.__name__
}
_WRONG = frozenset(error_names(ConfigurationError))


def exit_code_of(*, status: RunStatus | None, error: str | None, was_planned: bool) -> ExitCode:
    """The exit status of a command whose run has begun.

    Args:
        status: the run's; None where no run was recorded.
        error: the name of the error that its execution failed with.
        was_planned: whether the source was counted and cut into lanes, so that rows could be written.

    A run that an operator stopped or paused, or whose execution was stopped, has ended so. Where it was then to be
    resumed, the error may be that of the resume: what is wrong with its surroundings, or a defect, to resume it once
    more does not mend. Before the plan every known error means that the load or its surroundings are wrong; afterwards,
    that rows are missing. An error that is not of the product's tree is a defect. A run that cannot be resumed is a
    wrong choice, however it stands: to resume it once more would be refused again.
    """
    has_halted = status in (RunStatus.STOPPED, RunStatus.PAUSED)
    if error == RunNotResumable.__name__ or (has_halted and error in _WRONG):
        return ExitCode.WRONG_CONFIGURATION
    if error == InternalError.__name__:
        return ExitCode.INTERNAL_FAILURE
    if has_halted or error == RunError.STOPPED:
        return ExitCode.STOPPED
    if error is None:
        return ExitCode.OK
    if was_planned and error in _KNOWN | _UNMET:
        return ExitCode.CRITERION_NOT_MET
    if error in _KNOWN:
        return ExitCode.WRONG_CONFIGURATION
    return ExitCode.INTERNAL_FAILURE


_OF_NO_VALUE = (LoadError, OSError, RuntimeError)
"""Errors whose texts quote no value of a row, as a ValueError's may."""
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES})
"""Where no room is left, or none for this user: nothing that a program could mend."""


@contextmanager
def errors_as_exit_codes(
    *, interrupted: str = "Interrupted before the run began; this command has sent nothing of it."
) -> Iterator[None]:
    """Turn whatever a command raises into a line on the standard error output and an exit status.

    Args:
        interrupted: what is said where Ctrl-C ended the command.
    """
    try:
        yield
    except (UsageMistake, ConfigurationError, StateDirectoryError) as mistake:
        _say(str(mistake))
        raise typer.Exit(ExitCode.WRONG_CONFIGURATION) from None
    except RunRefused as refusal:
        _say(str(refusal))
        raise typer.Exit(refusal.exit_code) from None
    except KeyboardInterrupt:
        _say(interrupted)
        raise typer.Exit(ExitCode.STOPPED) from None
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - the last line of defence: a trace belongs into a file
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            _say(_disk_refuses(error))
            raise typer.Exit(ExitCode.WRONG_CONFIGURATION) from None
        _say(f"Internal failure: {_named(error)}")
        _say(f"This is a defect. Please report it with the trace in {_save_trace(error)}")
        raise typer.Exit(ExitCode.INTERNAL_FAILURE) from None


def _disk_refuses(error: OSError) -> str:
    where, why = error.filename or "A file of this command", os.strerror(error.errno or 0)
    if error.errno == errno.EACCES:
        return (
            f"{where} cannot be used ({why}). Give this user the right to it, or name what may be used: --loads-dir, "
            "--out, --state-dir, and TMPDIR for files of the moment."
        )
    return (
        f"{where} cannot be used ({why}). Make room, or name directories that can be written: "
        "--out, --state-dir, and TMPDIR for files of the moment."
    )


def _say(text: str) -> None:
    print(printable_lines(text), file=sys.stderr)


def _save_trace(error: Exception) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="massive-upload-", suffix=".trace", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(_trace(error))
        return file.name


def _trace(error: BaseException) -> Iterator[str]:
    """Where an error was raised, and before it those that it came of."""
    chain: list[BaseException] = []
    before: BaseException | None = error
    while before is not None and before not in chain:
        chain.append(before)
        before = before.__cause__ or (None if before.__suppress_context__ else before.__context__)
    for each in reversed(chain):
        yield from traceback.format_tb(each.__traceback__)
        yield f"{_named(each)}\n\n"


def _named(error: BaseException) -> str:
    """An error by its type, and its text where that cannot quote a value of a row: who reports it must not leak one."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, _OF_NO_VALUE) else name
