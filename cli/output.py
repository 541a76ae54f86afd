"""Standard output that may be gone before the command has ended."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

_READER_GONE = frozenset({errno.EPIPE, errno.EIO})
"""Of a pipe, and of a terminal. What else may happen, such as a full disk, still ends the command."""


@contextmanager
def lasting_output() -> Iterator[None]:
    """Let the command outlive who reads it: what can no longer be written is dropped.

    For commands that have more to do than to be read: Ctrl-C ends the ``tee`` of a pipe too, and a closed terminal
    takes nothing any more. A stream without a file descriptor stays as it is.
    """
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(_lasting(sys.stdout)))
        stack.enter_context(redirect_stderr(_lasting(sys.stderr)))
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


class _LastingFile(io.FileIO):
    """A file that is replaced by the null device once it cannot be written."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - whatever has a buffer, as in the base class
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _READER_GONE:
                raise
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return super().write(data)


def _lasting(stream: TextIO) -> TextIO:
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError):  # none at all, or one in memory
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_LastingFile(descriptor, "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )
