"""Execution environments of Lambda as processes, forked from a server that holds the third-party libraries."""

import contextlib
import json
import os
import signal
import site
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.aws.environment.wire import receive_frame, send_frame

_PROJECT_ROOT = Path(__file__).resolve().parents[2]
_BOOTSTRAP = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from local.aws.environment import fork_server; "
    "fork_server.main(int(sys.argv[2]), sys.argv[3:])"
)
# Lambda gives a function 10 s to initialise; a busy laptop is given more.
_INITIALISATION_SECONDS = 60.0
_END_SECONDS = 10.0


class EnvironmentDied(Exception):
    """The process ended in the middle of an invocation: it exited, or was killed."""


class EnvironmentTimedOut(Exception):
    """The invocation took longer than the function's time-out; its process was killed."""


class EnvironmentOutlived(Exception):
    """The invocation was given up while its process lives on."""


class ForkServer:
    """The process that forks execution environments; it starts with an empty environment and no path to the project."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        descriptor = str(theirs.fileno())
        libraries = [*site.getsitepackages(), *_editable_free_paths()]
        command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(_PROJECT_ROOT), descriptor, *libraries]
        # A session of its own: Ctrl-C in the terminal is for the driver, which then ends the environments in order.
        self._process = subprocess.Popen(  # noqa: S603 - the interpreter that runs this very code
            command,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            cwd="/",
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        if self._control.recv(1) != b"r":
            self.close()
            raise RuntimeError("The server of Lambda execution environments did not start; see its output above.")

    def fork(self) -> socket.socket:
        """Returns the connection to a new, still empty execution environment.

        Raises:
            EnvironmentDied: The server has ended.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                socket.send_fds(self._control, [b"f"], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise EnvironmentDied("the embedded AWS is stopping") from error
        return ours

    def close(self) -> None:
        """Ends the server; it waits for its environments to end first."""
        self._control.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _editable_free_paths() -> list[str]:
    """Returns the library directories of a parent of this interpreter's venv, which getsitepackages() does not name."""
    return [path for path in sys.path if path.endswith("-packages") and path not in site.getsitepackages()]


class ExecutionEnvironment:
    """One process that runs one function, one invocation at a time."""

    def __init__(self, connection: socket.socket, *, handler: str, variables: dict[str, str], log_file: Path) -> None:
        self._connection = connection
        settings = {"handler": handler, "environment": variables, "log_file": str(log_file)}
        connection.settimeout(_INITIALISATION_SECONDS)
        try:
            send_frame(connection, json.dumps(settings).encode())
            hello = json.loads(receive_frame(connection))
        except (EOFError, OSError) as error:
            connection.close()
            raise EnvironmentDied(f"the handler {handler} could not be loaded") from error
        self.pid: int = hello["pid"]
        self.initialisation_error: dict[str, Any] | None = hello["error"]

    def invoke(
        self,
        request_id: str,
        function_arn: str,
        payload: bytes,
        *,
        timeout_seconds: float,
        hold: dict[str, Any] | None = None,
        on_held: Callable[[], None] | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Runs one invocation and returns its status and its answer.

        The status holds `function_error`, `peak_memory_bytes` and `requests`, how many HTTP requests it made.

        Args:
            request_id: Names the invocation.
            function_arn: Names the function.
            payload: What the handler is given.
            timeout_seconds: When the process is killed.
            hold: The `request` (from 1) and `moment` at which the process waits.
            on_held: Called while it waits; what it raises ends the invocation.

        Raises:
            EnvironmentDied: The process ended before it answered.
            EnvironmentTimedOut: It took longer than `timeout_seconds`.
        """
        deadline = time.time() + timeout_seconds
        request = {
            "request_id": request_id,
            "function_arn": function_arn,
            "deadline_ms": deadline * 1000,
            "hold": hold,
        }
        self._connection.settimeout(timeout_seconds)
        try:
            send_frame(self._connection, json.dumps(request).encode())
            send_frame(self._connection, payload)
            status = json.loads(receive_frame(self._connection))
            if "held" in status and on_held is not None:
                on_held()
                status = self._go_on()
            return status, receive_frame(self._connection)
        except TimeoutError as error:
            self.kill()
            raise EnvironmentTimedOut from error
        except (EOFError, OSError) as error:
            self.kill()
            raise EnvironmentDied from error

    def finish(self) -> None:
        """Lets an invocation that was given up while it was held go on to its end, and ends the process."""
        try:
            self._go_on()
            receive_frame(self._connection)
        finally:
            self.kill()

    def _go_on(self) -> dict[str, Any]:
        send_frame(self._connection, b"go")
        status: dict[str, Any] = json.loads(receive_frame(self._connection))
        return status

    def kill(self) -> None:
        """Ends the process at once."""
        if self._connection.fileno() == -1:
            return
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.kill(self.pid, signal.SIGKILL)
        self._connection.close()
