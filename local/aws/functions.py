"""The Lambda service: warm environments for each deployed function, time-outs, errors, asynchronous invocations.

What it cannot show: the arm64 wheels of a layer (third-party packages come from this machine's virtual environment),
permissions, the time of a cold start, that a function cannot write to its code, which it shares with others here, and
throttling by itself: above `MAX_ENVIRONMENTS` an invocation waits instead.
What goes wrong on purpose is in `faults`.
"""

import io
import json
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from local.aws.active import InvocationResult
from local.aws.faults import Call, FaultPlan, Kill, LoseAnswer, Outlive, Throttle, What
from local.aws.identity import Access, function_access_key
from local.aws.untyped import Untyped
from local.aws.workers import (
    EnvironmentDied,
    EnvironmentOutlived,
    EnvironmentTimedOut,
    ExecutionEnvironment,
    ForkServer,
)

MAX_ENVIRONMENTS = 32  # of one function at a time

# Lambda developer guide, "Asynchronous invocation": two more attempts, after one and after two minutes.
_ASYNC_RETRY_DELAYS_SECONDS = (60.0, 120.0)
_ASYNC_THREADS = 4


class FunctionPool:
    """The environments of one function, as it was deployed."""

    def __init__(
        self, server: ForkServer, function: Untyped, *, code_dir: Path, log_file: Path, access: Access
    ) -> None:
        self._server = server
        self._handler = str(function.handler)
        self._log_file = log_file
        self._variables = environment_variables(function, code_dir, access)
        self._changed = threading.Condition()
        self._idle: list[ExecutionEnvironment] = []
        self._busy: set[ExecutionEnvironment] = set()
        self._starting = 0
        self._closed = False

    @contextmanager
    def environment(self) -> Iterator[ExecutionEnvironment]:
        """Lends an environment for one invocation; one that fails to serve it is not used again."""
        environment = self._take()
        reusable = is_given_up = False
        try:
            yield environment
            reusable = environment.initialisation_error is None
        except EnvironmentOutlived:
            is_given_up = True
            raise
        finally:
            self._give_back(environment, reusable=reusable, is_given_up=is_given_up)

    def _take(self) -> ExecutionEnvironment:
        with self._changed:
            while not self._idle and len(self._busy) + self._starting >= MAX_ENVIRONMENTS and not self._closed:
                self._changed.wait()
            if self._closed:
                raise _stopping()
            if self._idle:
                environment = self._idle.pop()
                self._busy.add(environment)
                return environment
            self._starting += 1
        try:
            environment = self._start()
        finally:
            with self._changed:
                self._starting -= 1
        with self._changed:
            if not self._closed:
                self._busy.add(environment)
                return environment
        environment.kill()
        raise _stopping()

    def _start(self) -> ExecutionEnvironment:
        stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{uuid.uuid4().hex}"
        return ExecutionEnvironment(
            self._server.fork(),
            handler=self._handler,
            variables={**self._variables, "AWS_LAMBDA_LOG_STREAM_NAME": stream},
            log_file=self._log_file,
        )

    def _give_back(self, environment: ExecutionEnvironment, *, reusable: bool, is_given_up: bool) -> None:
        with self._changed:
            self._busy.discard(environment)
            keep = reusable and not self._closed
            if keep:
                self._idle.append(environment)
            self._changed.notify()
        if not keep and not is_given_up:
            environment.kill()

    def close(self) -> None:
        """Ends all environments, busy ones too."""
        with self._changed:
            self._closed = True
            environments = [*self._idle, *self._busy]
            self._idle.clear()
            self._changed.notify_all()
        for environment in environments:
            environment.kill()


def environment_variables(function: Untyped, code_dir: Path, access: Access) -> dict[str, str]:
    """Returns what Lambda sets (developer guide, "Defined runtime environment variables") and the function's own.

    Beside these: the endpoint of the embedded AWS, and empty AWS configuration files, so that the host's stay unread.
    """
    return {
        **access.variables(function_access_key(str(function.function_name))),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
        "AWS_LAMBDA_FUNCTION_NAME": str(function.function_name),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.function_name}",
        "LAMBDA_TASK_ROOT": str(code_dir),
        "_HANDLER": str(function.handler),
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TZ": ":UTC",
        **{name: str(value) for name, value in (function.environment_vars or {}).items()},
    }


class _Outlived:
    """Environments whose invocations were given up, and after how many others each goes on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, ExecutionEnvironment]] = []

    def add(self, environment: ExecutionEnvironment, wakes_after: int) -> None:
        # The invocation that is given up ends now, and counts itself.
        with self._lock:
            self._waiting.append((wakes_after + 1, environment))

    def count_down(self) -> None:
        """An invocation has ended; who is woken by that has ended too when this returns."""
        with self._lock:
            counted = [(left - 1, environment) for left, environment in self._waiting]
            self._waiting = [(left, environment) for left, environment in counted if left > 0]
        for left, environment in counted:
            if left <= 0:
                environment.finish()

    def wake_all(self) -> None:
        for environment in self._take_all():
            environment.finish()

    def kill_all(self) -> None:
        for environment in self._take_all():
            environment.kill()

    def _take_all(self) -> list[ExecutionEnvironment]:
        with self._lock:
            taken, self._waiting = self._waiting, []
        return [environment for _, environment in taken]


class Functions:
    """Invokes deployed functions; counts the invocations and the memory."""

    def __init__(self, *, access: Access, time_scale: float, work_dir: Path, log_dir: Path) -> None:
        self._access = access
        self._time_scale = time_scale
        self._work_dir = work_dir / "functions"
        self._log_dir = log_dir
        log_dir.mkdir(parents=True, exist_ok=True)
        self._server = ForkServer()
        self._lock = threading.Lock()
        self._pools: dict[str, tuple[str, FunctionPool]] = {}  # by ARN: fingerprint of the deployed version, pool
        self._closed = False
        self._code: set[str] = set()  # digests of what is unpacked
        self._later = ThreadPoolExecutor(_ASYNC_THREADS, thread_name_prefix="lambda-async")
        self._stopping = threading.Event()
        self._in_hand = 0  # asynchronous invocations
        self._invocations: Counter[str] = Counter()
        self._peak_memory_bytes: dict[str, int] = {}
        self.faults = FaultPlan()
        self._outlived = _Outlived()

    def invoke(self, function: Untyped, payload: bytes) -> InvocationResult:
        """Runs the function and returns its answer, or its error as Lambda describes it."""
        name = str(function.function_name)
        with self._lock:
            self._invocations[name] += 1
        plan = self.faults
        what = plan.next_for(name)
        if isinstance(what, Throttle):
            plan.strike(what)
            return _sandbox_failure(str(uuid.uuid4()), "Lambda.TooManyRequestsException", "Rate Exceeded.")
        result = self._run(function, payload, plan, what)
        self._outlived.count_down()
        if isinstance(what, LoseAnswer):
            plan.strike(what)
            return _sandbox_failure(str(uuid.uuid4()), "Lambda.SdkClientException", "The answer was lost")
        return result

    def _run(self, function: Untyped, payload: bytes, plan: FaultPlan, what: What | None) -> InvocationResult:
        name, arn = str(function.function_name), str(function.function_arn)
        request_id = str(uuid.uuid4())
        timeout_seconds = float(function.timeout)
        try:
            with self._pool(function).environment() as environment:
                if environment.initialisation_error:
                    return _failure({**environment.initialisation_error, "requestId": request_id})

                def on_held() -> None:
                    assert what is not None  # noqa: S101 - who holds has a reason
                    plan.strike(what)
                    self._interfere(what, environment)

                hold = what.at if isinstance(what, Kill | Outlive | Call) else None
                status, body = environment.invoke(
                    request_id,
                    arn,
                    payload,
                    timeout_seconds=timeout_seconds,
                    hold={"request": hold.request, "moment": hold.moment} if hold else None,
                    on_held=on_held,
                )
        except (EnvironmentTimedOut, EnvironmentOutlived):
            return _sandbox_failure(
                request_id, "Sandbox.Timedout", f"Task timed out after {timeout_seconds:.2f} seconds"
            )
        except EnvironmentDied:
            return _sandbox_failure(request_id, "Runtime.ExitError", "Runtime exited without providing a reason")
        plan.record(name, status["requests"])
        with self._lock:
            self._peak_memory_bytes[name] = max(self._peak_memory_bytes.get(name, 0), status["peak_memory_bytes"])
        return InvocationResult(body, status["function_error"])

    def _interfere(self, what: What, environment: ExecutionEnvironment) -> None:
        """Does what is to happen to an invocation that is held."""
        match what:
            case Kill():
                environment.kill()
                raise EnvironmentDied
            case Outlive():
                self._outlived.add(environment, what.wakes_after)
                raise EnvironmentOutlived
            case Call():
                what.action()

    def wake_outlived(self) -> None:
        """Lets all invocations that were given up while they live on go on to their end."""
        self._outlived.wake_all()

    def invoke_later(self, function: Untyped, payload: bytes) -> None:
        """Invokes asynchronously: a failing invocation is tried twice more."""
        if self._stopping.is_set():
            return
        with self._lock:
            self._in_hand += 1
        self._later.submit(self._invoke_until_it_succeeds, function, payload).add_done_callback(self._let_go)

    def _let_go(self, _: Future[None]) -> None:
        with self._lock:
            self._in_hand -= 1

    @property
    def has_some_in_hand(self) -> bool:
        """Whether an asynchronous invocation has yet to begin, is at work, or is to be tried again."""
        with self._lock:
            return self._in_hand > 0

    def _invoke_until_it_succeeds(self, function: Untyped, payload: bytes) -> None:
        for delay_seconds in (*_ASYNC_RETRY_DELAYS_SECONDS, None):
            result = self.invoke(function, payload)
            if result.function_error is None or delay_seconds is None:
                return
            if self._stopping.wait(delay_seconds / self._time_scale):
                return

    def _pool(self, function: Untyped) -> FunctionPool:
        version = json.dumps([function.code_sha_256, function.handler, function.environment_vars], sort_keys=True)
        with self._lock:
            if self._closed:
                raise _stopping()
            known, pool = self._pools.get(function.function_arn, ("", None))
            if pool is not None and known == version:
                return pool
            if pool is not None:
                pool.close()  # the function was deployed anew
            pool = FunctionPool(
                self._server,
                function,
                code_dir=self._unpacked(function),
                log_file=self._log_dir / f"{function.function_name}.log",
                access=self._access,
            )
            self._pools[function.function_arn] = (version, pool)
            return pool

    def _unpacked(self, function: Untyped) -> Path:
        """Where a function's code is. Those with the same code share it, as Python then compiles it once for all."""
        digest = sha256(function.code_bytes).hexdigest()
        code_dir = self._work_dir / digest[:16]
        if digest not in self._code:
            with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
                archive.extractall(code_dir)
            self._code.add(digest)
        return code_dir

    def invocations(self) -> dict[str, int]:
        """Returns how often each function was invoked."""
        with self._lock:
            return dict(self._invocations)

    def peak_memory_bytes(self) -> dict[str, int]:
        """Returns the most resident memory that one environment of each function has used."""
        with self._lock:
            return dict(self._peak_memory_bytes)

    def accept_no_more(self) -> None:
        """Drops asynchronous invocations from now on, waiting ones too."""
        self._stopping.set()

    def close(self) -> None:
        """Ends every environment and the server that forks them."""
        self.accept_no_more()
        with self._lock:
            self._closed = True  # else a pool that is made from here on would be closed by nobody
            pools = [pool for _, pool in self._pools.values()]
        for pool in pools:
            pool.close()
        self._outlived.kill_all()
        self._later.shutdown(cancel_futures=True)
        self._server.close()


def _stopping() -> EnvironmentDied:
    return EnvironmentDied("the embedded AWS is stopping")


def _failure(description: dict[str, Any]) -> InvocationResult:
    return InvocationResult(json.dumps(description).encode(), "Unhandled")


def _sandbox_failure(request_id: str, error_type: str, what: str) -> InvocationResult:
    message = f"RequestId: {request_id} Error: {what}"
    return _failure({"errorType": error_type, "errorMessage": message})
