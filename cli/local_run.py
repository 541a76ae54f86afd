"""One run of a load on an AWS in this process; it prints nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.snapshot import Snapshot, take_snapshot
from cli.synthesis import STACK_NAME, synthesize_apart
from local.aws.embedded import EmbeddedAws, ExecutionResult
from local.aws.figures import Figures
from massive_upload.adapters.aws import S3Files, SystemClock
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Halt

_LOOKS_AFTER_ABORT = 20
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What is to be run.

    Attributes:
        load: the compiled load.
        mode: full, sample or plan.
        secret: how to log in to the org, as the deployed stack's secret holds it.
        run_id: the run's id, and its execution's name.
        time_scale: by how much every wait is divided.
    """

    load: Load
    mode: str
    secret: Mapping[str, str]
    run_id: str
    time_scale: float


class LocalRun:
    """A run that has been started; made by `start_local_run`."""

    def __init__(self, aws: EmbeddedAws, outputs: Mapping[str, str], execution_arn: str, run_id: str) -> None:
        self._aws = aws
        self._execution_arn = execution_arn
        self.run_id = run_id
        self.store = DynamoDbProgress(Table(_client(aws, "dynamodb"), outputs["TableName"]), SystemClock())
        self.files = S3Files(_client(aws, "s3"), outputs["BucketName"])
        self.result: ExecutionResult | None = None

    def has_ended(self, *, within_seconds: float) -> bool:
        """Wait a while for the end of the execution; its ``result`` is there afterwards."""
        try:
            self.result = self._aws.wait_for_execution(self._execution_arn, within_seconds)
        except TimeoutError:
            return False
        return True

    def snapshot(self) -> Snapshot:
        """How far the run has come."""
        return take_snapshot(self.store, self.run_id)

    def ask_to_pause(self) -> bool:
        """Ask the lanes to end at their next batch edge; False while no run is recorded that could be asked."""
        if self.store.run(self.run_id) is None:
            return False
        self.store.ask_to_halt(self.run_id, Halt.PAUSE)
        return True

    def abort(self) -> None:
        """Stop the execution, and let the watchdog finish the run: jobs in flight are settled or aborted.

        The run is Stopped then, also where it was asked to pause before.

        On AWS a schedule calls the watchdog; no schedule fires in the embedded AWS, so it is called here.
        """
        if self.store.run(self.run_id) is not None:
            self.store.ask_to_halt(self.run_id, Halt.STOP)
        self._aws.stop_execution(self._execution_arn)
        functions = _client(self._aws, "lambda")
        names = [function["FunctionName"] for function in functions.list_functions()["Functions"]]
        watchdog = next(name for name in names if "Watchdog" in name)
        for _ in range(_LOOKS_AFTER_ABORT):
            time.sleep(_LOOK_SECONDS)
            run = self.store.run(self.run_id)
            if run is None or not run.is_unfinished:
                return
            functions.invoke(FunctionName=watchdog, Payload=b"{}")

    @property
    def figures(self) -> Figures:
        """What the embedded AWS has counted."""
        return self._aws.figures


@contextmanager
def start_local_run(
    request: RunRequest, *, work_dir: Path, log_dir: Path, say: Callable[[str], None]
) -> Iterator[LocalRun]:
    """Synthesize the stack, deploy it to an AWS in this process and start the execution.

    Args:
        request: what is to be run.
        work_dir: for the cloud assembly and the functions' code.
        log_dir: for the output of each function.
        say: told each step before it begins.
    """
    say("Synthesizing the stack")
    assembly = synthesize_apart(work_dir / "cdk.out", request.load)
    say("Deploying it to the embedded AWS")
    with EmbeddedAws(work_dir=work_dir / "aws", log_dir=log_dir, time_scale=request.time_scale) as aws:
        outputs = aws.deploy(assembly, STACK_NAME)
        _client(aws, "secretsmanager").put_secret_value(
            SecretId=outputs["SecretArn"], SecretString=json.dumps(dict(request.secret))
        )
        payload = {"load": request.load.name, "mode": request.mode}
        say(f"Run {request.run_id} begins")
        execution_arn = aws.start_execution(outputs["LoadMachineArn"], payload, name=request.run_id)
        yield LocalRun(aws, outputs, execution_arn, request.run_id)


def _client(aws: EmbeddedAws, service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
    return aws.client(service)
