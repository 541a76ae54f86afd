"""Standard output that may be gone before the command has ended."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

import typer

from cli.errors import ExitCode

_READER_GONE = frozenset({errno.EPIPE, errno.EIO})
"""Of a pipe, and of a terminal. Whatever else is in the way of the output, such as a full disk, is told."""


@contextmanager
def lasting_output() -> Iterator[None]:
    """Let the command outlive its output: what can no longer be written is dropped.

    For commands whose work, or exit status, counts though nobody reads on: Ctrl-C ends the ``tee`` of a pipe too, and a
    closed terminal takes nothing any more. A stream without a file descriptor stays as it is.

    Raises:
        Exit: the command has ended well, and its output is incomplete though somebody may read it.
    """
    losses: list[OSError] = []

    def tell(error: OSError) -> None:
        losses.append(error)
        print(f"The output cannot be written ({error.strerror}): what is left of it is dropped.", file=sys.stderr)

    try:
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(_lasting(sys.stdout, tell)))
            stack.enter_context(redirect_stderr(_lasting(sys.stderr, losses.append)))
            stack.callback(_flush)
            yield
    except typer.Exit as ended:
        if losses and ended.exit_code == ExitCode.OK:
            raise typer.Exit(ExitCode.FILES_NOT_WRITTEN) from None
        raise
    if losses:
        raise typer.Exit(ExitCode.FILES_NOT_WRITTEN)


def open_standard_streams() -> None:
    """Let the null device stand for what the shell has closed (`>&-`).

    Else the next file that is opened, here or in a function's process, gets that descriptor, and what is printed is
    written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one. What is opened is not handed on to other programs by itself.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # They live as long as the process.
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


class _LastingFile(io.FileIO):
    """A file that is replaced by the null device once it cannot be written.

    Args:
        descriptor: the file's.
        tell: is told why, where that is not for want of a reader.
    """

    def __init__(self, descriptor: int, tell: Callable[[OSError], None]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._tell = tell

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - whatever has a buffer, as in the base class
        try:
            return super().write(data)
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if error.errno not in _READER_GONE:
                self._tell(error)
            return super().write(data)


def _lasting(stream: TextIO, tell: Callable[[OSError], None]) -> TextIO:
    try:
        descriptor = stream.fileno()
    except OSError:  # one in memory
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_LastingFile(descriptor, tell)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )
