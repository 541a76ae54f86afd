"""AWS in this process.

moto's server on a free port of 127.0.0.1, mended by the hooks, with Lambda in processes of its own. It answers those
alone who have its session token (`EmbeddedAws.access`).
"""

import json
import logging
import resource
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from moto.core.config import default_user_config
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from moto.stepfunctions.parser.utils import TMP_THREADS

from local.aws import hooks
from local.aws.active import Active, activate, deactivate
from local.aws.callers import KnownCallers
from local.aws.deploy import deploy
from local.aws.events import StatusChanges
from local.aws.faults import FaultPlan
from local.aws.figures import Figures, Ledger
from local.aws.functions import Functions
from local.aws.hooks import durability
from local.aws.identity import ACCOUNT_ID, REGION, Access
from local.aws.requests import CountedRequests
from local.aws.server import AwsServer
from local.aws.state import StateDirectory
from local.aws.untyped import Untyped

_MOTO_CONFIG: dict[str, Any] = {
    "stepfunctions": {"execute_state_machine": True},
    "lambda": {"use_docker": False},
    "iam": {"load_aws_managed_policies": False},
}
_THREADS_END_SECONDS = 10.0
_DESCRIPTORS = 4_096
"""Each Lambda environment, of which a function may have 32, keeps a connection to each service that it has called."""


@dataclass(frozen=True)
class ExecutionResult:
    """How an execution ended: its status, its output or its error and cause."""

    status: str
    output: Any = None
    error: str | None = None
    cause: str | None = None


class EmbeddedAws:
    """The embedded AWS; one at a time in a process.

    Args:
        work_dir: Where the code of the functions is unpacked.
        log_dir: Where each function's output goes, `<function name>.log`; `work_dir / "logs"` by default.
        time_scale: Divides Wait states, Retry intervals and the pauses of asynchronous invocation. Time-outs stay real.
        state: Where tables and buckets are kept. They are put back when the stack is deployed; all else, executions
            too, ends with the process.
    """

    def __init__(
        self,
        *,
        work_dir: Path,
        log_dir: Path | None = None,
        time_scale: float = 1.0,
        state: StateDirectory | None = None,
    ) -> None:
        self._work_dir = work_dir.resolve()
        self._log_dir = (log_dir or work_dir / "logs").resolve()
        self._time_scale = time_scale
        self._state = state
        self._clients: dict[str, Any] = {}
        self._config_before: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server and the Lambda service.

        Raises:
            RuntimeError: Another embedded AWS is running in this process.
        """
        # werkzeug writes a line for every request unless its logger has a level; moto's interpreter logs every failing
        # state as an error, which is what the history is for.
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
        _allow_descriptors()
        hooks.install()
        self._requests = CountedRequests(DomainDispatcherApplication(create_backend_app))
        session_token = secrets.token_urlsafe()
        self._server = AwsServer(KnownCallers(self._requests, session_token))
        self._server.start()
        self.access = Access(self._server.url, session_token)
        self._ledger = Ledger()
        self._functions = Functions(
            access=self.access,
            time_scale=self._time_scale,
            work_dir=self._work_dir,
            log_dir=self._log_dir,
        )
        active = Active(
            endpoint_url=self.access.endpoint_url,
            time_scale=self._time_scale,
            ledger=self._ledger,
            functions=self._functions,
            on_status=StatusChanges(self._functions),
        )
        try:
            activate(active)
        except RuntimeError:
            self._functions.close()
            self._server.stop()
            raise
        self._config_before = dict(default_user_config)
        default_user_config.update(_MOTO_CONFIG)
        moto_api_backend.reset()

    def stop(self) -> None:
        """Stops running executions, ends every process and socket, and forgets all state."""
        self._functions.accept_no_more()  # what follows is no end of a run: no rule shall act on it
        for execution in _running_executions():
            execution.stop(stop_date=None, error=None, cause="The embedded AWS is stopping")
        self._functions.close()
        _join_interpreter_threads()
        durability.keep_no_more()
        deactivate()
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._server.stop()
        moto_api_backend.reset()
        default_user_config.clear()
        default_user_config.update(self._config_before)

    def client(self, service: str) -> Untyped:
        """Returns a boto3 client of the embedded AWS, whatever the host's AWS settings are."""
        if service not in self._clients:
            self._clients[service] = self.access.client(service)
        return self._clients[service]

    def deploy(self, assembly_dir: Path, stack_name: str) -> dict[str, str]:
        """Deploys a stack of a synthesized assembly (a `cdk.out` directory) and returns its outputs.

        Raises:
            DeploymentError: The stack cannot be deployed.
            StateDirectoryError: The state that is kept is not of this stack.
        """
        outputs = deploy(self.access.endpoint_url, assembly_dir, stack_name)
        if self._state is not None:
            durability.restore_and_keep(self._state)
        return outputs

    def start_execution(self, machine_arn: str, payload: dict[str, Any], name: str | None = None) -> str:
        """Starts an execution and returns its ARN."""
        arguments = {"stateMachineArn": machine_arn, "input": json.dumps(payload)}
        if name is not None:
            arguments["name"] = name
        return str(self.client("stepfunctions").start_execution(**arguments)["executionArn"])

    def wait_for_execution(self, arn: str, timeout_seconds: float) -> ExecutionResult:
        """Waits for the end of an execution.

        Raises:
            TimeoutError: It has not ended after `timeout_seconds`.
        """
        execution = _states().describe_execution(arn)
        if not execution.ended.wait(timeout_seconds):
            raise TimeoutError(f"{arn} has not ended after {timeout_seconds} s; look at its history.")
        output = execution.output if execution.status == "SUCCEEDED" else None
        return ExecutionResult(execution.status, output, execution.error, execution.cause)

    def stop_execution(self, arn: str) -> None:
        """Stops an execution: it is ABORTED at once, its nested executions too."""
        self.client("stepfunctions").stop_execution(executionArn=arn)

    @property
    def has_invocations_in_hand(self) -> bool:
        """Whether a function that was invoked asynchronously, by a rule or by another function, has yet to be done."""
        return self._functions.has_some_in_hand

    def check_state(self) -> None:
        """Look whether the state is still kept.

        Raises:
            StateDirectoryError: A write has failed; nothing can be acknowledged since.
        """
        if self._state is not None and self._state.failure is not None:
            raise self._state.failure

    @property
    def faults(self) -> FaultPlan:
        """What goes wrong with functions on purpose; by default nothing."""
        return self._functions.faults

    @faults.setter
    def faults(self, plan: FaultPlan) -> None:
        self._functions.faults = plan

    def wake_outlived(self) -> None:
        """Lets every function that was taken for timed out by a fault, and lives on, go on to its end."""
        self._functions.wake_outlived()

    @property
    def figures(self) -> Figures:
        """What was counted until now."""
        return Figures(
            executions=self._ledger.executions(),
            lambda_invocations=self._functions.invocations(),
            lambda_peak_memory_bytes=self._functions.peak_memory_bytes(),
            service_requests=self._requests.counts(),
        )


def _allow_descriptors() -> None:
    """Let this process have as many as it may need, where it may: macOS gives one 256 by itself, Linux 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _states() -> Untyped:
    return stepfunctions_parser_backends[ACCOUNT_ID][REGION]


def _running_executions() -> list[Any]:
    return [
        execution
        for machine in _states().state_machines
        for execution in machine.executions
        if not execution.ended.is_set()
    ]


def _join_interpreter_threads() -> None:
    deadline = time.monotonic() + _THREADS_END_SECONDS
    for thread in list(TMP_THREADS):
        thread.join(max(0.0, deadline - time.monotonic()))
