"""One run of a load on an AWS in this process; it prints nothing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from cli.kept_runs import Course, course_of
from cli.snapshot import Snapshot, take_snapshot
from cli.synthesis import STACK_NAME, synthesize_apart
from local.aws.embedded import EmbeddedAws, ExecutionResult
from local.aws.figures import Figures
from local.aws.state import StateDirectory
from massive_upload.adapters.aws import S3Files, SystemClock
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.constants import DRAIN_WAIT_SECONDS, MOST_DRAINS
from massive_upload.contracts import Mode
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Halt, Run
from massive_upload.errors import InternalError, LoadError

_LOOK_SECONDS = 0.1
_NAME_CHARACTERS = 71
"""Of a run's id in the name of a later execution: 80 characters are possible (StartExecution, API reference)."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What is to be run.

    Attributes:
        load: the compiled load.
        mode: full, incremental, sample, plan or retry_failed.
        retry_of, retry_only: with mode retry_failed, the run whose rejected rows are sent once more, and the code of
            the errors that are taken up.
        secret: how to log in to the org, as the deployed stack's secret holds it.
        run_id: the run's id, and its first execution's name.
        time_scale: by how much every wait is divided.
        followed_by: the loads that come after it in its sequence.
    """

    load: Load
    mode: str
    secret: Mapping[str, str]
    run_id: str
    time_scale: float
    retry_of: str | None = None
    retry_only: str | None = None
    followed_by: tuple[str, ...] = ()

    @property
    def start_input(self) -> dict[str, Any]:
        """The input of the execution that begins the run."""
        if self.mode == Mode.RETRY_FAILED:
            return {"mode": self.mode, "of": self.retry_of, "only": self.retry_only}
        return {"load": self.load.name, "mode": self.mode}


class LocalRun:
    """A run that an execution carries out, or has carried out; made by `start_local_run`.

    Attributes:
        is_first: whether the run begins with it, so that all that it took is in ``figures``.
    """

    def __init__(self, aws: EmbeddedAws, outputs: Mapping[str, str], request: RunRequest) -> None:
        self._aws = aws
        self.run_id = request.run_id
        self._time_scale = request.time_scale
        self.store = DynamoDbProgress(Table(_client(aws, "dynamodb"), outputs["TableName"]), SystemClock())
        self.files = S3Files(_client(aws, "s3"), outputs["BucketName"])
        self.result: ExecutionResult | None = None
        run = self.store.run(self.run_id)
        self.is_first = run is None
        self._execution_arn = self._go_on(request, run, outputs["LoadMachineArn"])
        self._has_begun = self.result is None

    def _go_on(self, request: RunRequest, run: Run | None, machine_arn: str) -> str:
        """Start the execution that the run needs, if it needs one; its ARN."""
        course = course_of(run)
        if course is Course.BEGIN:
            return self._aws.start_execution(machine_arn, request.start_input, name=self.run_id)
        if course is Course.RESUME:
            name = f"{self.run_id[:_NAME_CHARACTERS]}-{uuid4().hex[:8]}"
            return self._aws.start_execution(machine_arn, {"mode": Mode.RESUME, "run_id": self.run_id}, name=name)
        if run is None:
            raise InternalError(f"Run {self.run_id} has ended and is not recorded.")
        status = "SUCCEEDED" if run.error is None else "FAILED"
        self.result = ExecutionResult(status, error=run.error, cause=run.cause)
        return run.execution_arn

    @property
    def goes_on(self) -> bool:
        """Whether an execution of this process goes on with what an earlier one has begun."""
        return self._has_begun and not self.is_first

    def has_ended(self, *, within_seconds: float) -> bool:
        """Wait a while for the end of the execution; its ``result`` is there afterwards.

        Raises:
            StateDirectoryError: the state cannot be written any more.
        """
        self._aws.check_state()
        if self.result is not None:
            return True
        try:
            self.result = self._aws.wait_for_execution(self._execution_arn, within_seconds)
        except TimeoutError:
            return False
        return True

    @property
    def was_let_in(self) -> bool:
        """Whether the org has let this execution in, and is the one that the run began in.

        PlanRun logs in before it commits a run to a plan, and before it lets an execution go on with one.
        """
        run = self.store.run(self.run_id) if self._has_begun else None
        return run is not None and run.plan_name is not None and run.execution_arn == self._execution_arn

    def snapshot(self) -> Snapshot:
        """How far the run has come."""
        return take_snapshot(self.store, self.run_id)

    def ask_to_pause(self) -> bool:
        """Ask the lanes to end at their next batch edge; False while this execution has yet to record the run as its.

        To take a run over clears what its last execution was asked.
        """
        run = self.store.run(self.run_id)
        if run is None or run.execution_arn != self._execution_arn:
            return False
        self.store.ask_to_halt(self.run_id, Halt.PAUSE)
        return True

    def abort(self, *, is_given_up: Callable[[], bool]) -> None:
        """Stop the execution, and see to it that the run is finished: jobs in flight are settled or aborted.

        The run is Stopped then, also where it was asked to pause before. That the execution has ended is an event that
        calls FinishRun. What that leaves, jobs that have yet to end, it is called for again by the watchdog, which a
        schedule calls on AWS; no schedule fires in the embedded AWS, so it is called here.

        Args:
            is_given_up: looked at while FinishRun is at work; True leaves it there, with what is unsettled by then.
        """
        if self.store.run(self.run_id) is not None:
            self.store.ask_to_halt(self.run_id, Halt.STOP)
        self._aws.stop_execution(self._execution_arn)
        functions = _client(self._aws, "lambda")
        names = [function["FunctionName"] for function in functions.list_functions()["Functions"]]
        watchdog = next(name for name in names if "Watchdog" in name)
        self._wait_for_invocations(is_given_up)
        for _ in range(MOST_DRAINS):  # FinishRun itself waits for no more
            run = self.store.run(self.run_id)
            if run is None or not run.is_unfinished or is_given_up():
                return
            _wait_until(is_given_up, within_seconds=DRAIN_WAIT_SECONDS / self._time_scale)
            functions.invoke(FunctionName=watchdog, Payload=b"{}")
            self._wait_for_invocations(is_given_up)

    def _wait_for_invocations(self, is_given_up: Callable[[], bool]) -> None:
        """Wait for FinishRun, which nothing but its own time-out bounds."""
        _wait_until(lambda: is_given_up() or not self._aws.has_invocations_in_hand)

    @property
    def figures(self) -> Figures:
        """What the embedded AWS has counted."""
        return self._aws.figures


@contextmanager
def start_local_run(
    request: RunRequest,
    *,
    work_dir: Path,
    log_dir: Path,
    say: Callable[[str], None],
    state: StateDirectory | None = None,
) -> Iterator[LocalRun]:
    """Synthesize the stack, deploy it to an AWS in this process, and start the run or go on with it.

    Args:
        request: what is to be run.
        work_dir: for the cloud assembly and the functions' code.
        log_dir: for the output of each function.
        say: told each step before it begins.
        state: where the table and the bucket are kept, and what the run may have come to already.

    Raises:
        StateDirectoryError: the state cannot be written any more, or is not of this stack.
    """
    say("Synthesizing the stack")
    assembly = synthesize_apart(work_dir / "cdk.out", request.load)
    say("Deploying it to the embedded AWS")
    aws = EmbeddedAws(work_dir=work_dir / "aws", log_dir=log_dir, time_scale=request.time_scale, state=state)
    with aws:
        outputs = aws.deploy(assembly, STACK_NAME)
        _client(aws, "secretsmanager").put_secret_value(
            SecretId=outputs["SecretArn"], SecretString=json.dumps(dict(request.secret))
        )
        say(f"Run {request.run_id} begins")
        try:
            yield LocalRun(aws, outputs, request)
        except LoadError:
            aws.check_state()  # once it cannot be written the embedded AWS refuses every call
            raise


def _client(aws: EmbeddedAws, service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
    return aws.client(service)


def _wait_until(condition: Callable[[], bool], *, within_seconds: float = math.inf) -> None:
    deadline = time.monotonic() + within_seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
