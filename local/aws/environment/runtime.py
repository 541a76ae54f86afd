"""One execution environment: loads a handler and runs one invocation after the other, as on Lambda.

Follows aws-lambda-python-runtime-interface-client: the shape of an error, the names Runtime.ImportModuleError,
Runtime.HandlerNotFound and Runtime.MarshalError, the attributes of the context.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

from local.aws.environment.request_watch import RequestWatch
from local.aws.environment.wire import receive_frame, send_frame

# Lambda quotas: 6 MB for a synchronous response; the text is the one that Lambda gives.
MAX_RESPONSE_BYTES = 6_291_556

Handler = Callable[[Any, "LambdaContext"], Any]


class LambdaContext:
    """The context object that Lambda hands to a Python handler."""

    def __init__(self, request_id: str, function_arn: str, deadline_ms: float) -> None:
        self.aws_request_id = request_id
        self.invoked_function_arn = function_arn
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self._deadline_ms = deadline_ms

    def get_remaining_time_in_millis(self) -> int:
        """Returns the milliseconds until the function times out."""
        return max(0, int(self._deadline_ms - time.time() * 1000))


def run(connection: socket.socket, prepare: Callable[[], None]) -> NoReturn:
    """Serves one function on `connection` until the other side closes it; never returns.

    Args:
        connection: to the Lambda service.
        prepare: called once the process has the function's variables, before its handler is loaded.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    settings = json.loads(receive_frame(connection))
    _become(settings)
    prepare()
    handler, error = _load(settings["handler"])
    send_frame(connection, json.dumps({"pid": os.getpid(), "error": error}).encode())
    if handler is not None:
        watch = RequestWatch(connection)
        watch.install()
        # The service closes the connection when it has no more use for this environment.
        with contextlib.suppress(EOFError, BrokenPipeError):
            while True:
                _serve_one(connection, handler, watch)
    os._exit(0)


def _become(settings: dict[str, Any]) -> None:
    log = os.open(settings["log_file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # stdout is a TextIOWrapper here
    os.environ.clear()
    os.environ.update(settings["environment"])
    time.tzset()
    root = settings["environment"]["LAMBDA_TASK_ROOT"]
    os.chdir(root)
    sys.path.insert(0, root)


def _load(handler_name: str) -> tuple[Handler | None, dict[str, Any] | None]:
    module_name, _, function_name = handler_name.replace("/", ".").rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        return None, _error("Runtime.ImportModuleError", message, error, request_id="")
    except Exception as error:  # noqa: BLE001 - whatever the module raises is the function's error
        return None, _error(type(error).__name__, str(error), error, request_id="")
    handler = getattr(module, function_name, None)
    if handler is None:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        return None, _error("Runtime.HandlerNotFound", message, None, request_id="")
    return handler, None


def _serve_one(connection: socket.socket, handler: Handler, watch: RequestWatch) -> None:
    request = json.loads(receive_frame(connection))
    payload = receive_frame(connection)
    watch.begin(request["hold"])
    context = LambdaContext(request["request_id"], request["function_arn"], request["deadline_ms"])
    error, body = _call(handler, payload, context)
    sys.stdout.flush()
    status = {
        "function_error": "Unhandled" if error else None,
        "peak_memory_bytes": _peak_memory_bytes(),
        "requests": watch.requests,
    }
    send_frame(connection, json.dumps(status).encode())
    send_frame(connection, body)


def _call(handler: Handler, payload: bytes, context: LambdaContext) -> tuple[bool, bytes]:
    """Returns whether the function failed, and its answer or the description of its error."""
    request_id = context.aws_request_id
    try:
        result = handler(json.loads(payload), context)
    except Exception as error:  # noqa: BLE001 - whatever the handler raises is the function's error
        return True, _encoded(_error(type(error).__name__, str(error), error, request_id))
    try:
        body = json.dumps(result, default=_json_default, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        return True, _encoded(_error("Runtime.MarshalError", message, error, request_id))
    if len(body) > MAX_RESPONSE_BYTES:
        message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
        return True, _encoded(_error("Function.ResponseSizeTooLarge", message, None, request_id))
    return False, body


def _json_default(value: Any) -> Any:  # noqa: ANN401 - anything that json cannot write
    if isinstance(value, Decimal):
        return float(value)  # as Lambda's runtime does
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _error(error_type: str, message: str, error: BaseException | None, request_id: str) -> dict[str, Any]:
    trace = traceback.format_tb(error.__traceback__)[1:] if error is not None else []
    description = {"errorMessage": message, "errorType": error_type, "requestId": request_id, "stackTrace": trace}
    sys.stdout.write(f"[ERROR] {error_type}: {message}\n{''.join(trace)}")
    return description


def _encoded(description: dict[str, Any]) -> bytes:
    return json.dumps(description).encode()


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes on Linux, getrusage(2)
