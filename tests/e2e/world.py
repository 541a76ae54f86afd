"""The whole product in one place: the synthesized stack on the embedded AWS, and an org to load into."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.synth import STACK_NAME, synthesize
from local.aws.embedded import EmbeddedAws, ExecutionResult
from local.aws.figures import Figures
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from massive_upload.adapters.aws import S3Files, SystemClock
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.load import Load, LoadSequence
from massive_upload.domain.progress import BatchState

LONGEST_RUN_SECONDS = 240
WATCHED_EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class World:
    """A deployed stack whose secret points at an org."""

    aws: EmbeddedAws
    outputs: Mapping[str, str]
    log_dir: Path

    @property
    def store(self) -> DynamoDbProgress:
        return DynamoDbProgress(Table(self.aws.client("dynamodb"), self.outputs["TableName"]), SystemClock())

    @property
    def files(self) -> S3Files:
        return S3Files(self.aws.client("s3"), self.outputs["BucketName"])

    @property
    def figures(self) -> Figures:
        return self.aws.figures

    def start(self, payload: Mapping[str, object], name: str) -> str:
        return self.aws.start_execution(self.outputs["LoadMachineArn"], dict(payload), name=name)

    def wait(self, execution_arn: str) -> ExecutionResult:
        return self.aws.wait_for_execution(execution_arn, LONGEST_RUN_SECONDS)

    def run(self, payload: Mapping[str, object], name: str) -> ExecutionResult:
        return self.wait(self.start(payload, name))

    def execution_arn(self, run_id: str) -> str:
        """Which execution carries a run out."""
        run = self.store.run(run_id)
        assert run is not None
        return run.execution_arn

    def execution_has_ended(self, run_id: str) -> bool:
        description = self.aws.client("stepfunctions").describe_execution(executionArn=self.execution_arn(run_id))
        return str(description["status"]) != "RUNNING"

    def run_and_watch(self, payload: Mapping[str, object], name: str) -> ExecutionResult:
        """Run with a watchdog that looks twice a second."""
        return self.watch(self.start(payload, name))

    def watch(self, arn: str) -> ExecutionResult:
        """Wait for an execution, with a watchdog that looks twice a second."""
        while True:
            self.look()
            try:
                return self.aws.wait_for_execution(arn, WATCHED_EVERY_SECONDS)
            except TimeoutError:
                continue

    def look(self) -> None:
        """What the watchdog's schedule does, which does not fire by itself in the embedded AWS."""
        answer = self.aws.client("lambda").invoke(FunctionName=self.function("Watchdog"), Payload=b"{}")
        assert "FunctionError" not in answer

    def function(self, name: str) -> str:
        """The name that a function of the stack was given."""
        functions = self.aws.client("lambda").list_functions()["Functions"]
        (found,) = [each["FunctionName"] for each in functions if name in each["FunctionName"]]
        return str(found)

    @contextmanager
    def without_the_rule(self) -> Iterator[None]:
        """Nobody hears of an execution's end until the end of the block."""
        rules = self.aws.client("events")
        (name,) = [rule["Name"] for rule in rules.list_rules()["Rules"] if "LoadEnded" in rule["Name"]]
        rules.disable_rule(Name=name)
        yield
        rules.enable_rule(Name=name)

    def stop_with_a_job_in_flight(self, payload: Mapping[str, object], name: str) -> None:
        """Start, and stop the execution as soon as a job has been uploaded."""
        arn = self.start(payload, name)
        while not any(
            batch.state is BatchState.SUBMITTED
            for partition in self.store.partitions(name)
            for batch in self.store.batches(name, partition.partition)
        ):
            status = self.aws.client("stepfunctions").describe_execution(executionArn=arn)["status"]
            assert status == "RUNNING"
        self.aws.stop_execution(arn)
        assert self.wait(arn).status == "ABORTED"

    def await_no_open_run(self, *, is_watched: bool = False) -> None:
        """Until FinishRun has ended whatever is open, invoked by its rule alone or by the watchdog, too.

        An aborted job is looked at more than once, by whom the watchdog asks to. Pytest's time-out bounds it.
        """
        while self.store.open_runs():
            if is_watched:
                self.look()
                time.sleep(WATCHED_EVERY_SECONDS)

    def receipt(self, run_id: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.files.read(receipt_key(run_id)))
        return document

    def log_lines(self) -> Iterator[str]:
        for path in sorted(self.log_dir.iterdir()):
            yield from path.read_text(encoding="utf-8").splitlines()

    def secret_is(self, value: str) -> None:
        self.aws.client("secretsmanager").put_secret_value(SecretId=self.outputs["SecretArn"], SecretString=value)


@contextmanager
def deployed(
    work_dir: Path,
    *,
    loads: Mapping[str, Load],
    org_url: str,
    time_scale: float,
    sequences: Mapping[str, LoadSequence] | None = None,
) -> Iterator[World]:
    """Synthesize, deploy, and put the secret's value: what an operator does."""
    assembly = synthesize(work_dir / "cdk.out", loads=loads, sequences=sequences, validate=False)
    log_dir = work_dir / "logs"
    with EmbeddedAws(work_dir=work_dir / "aws", log_dir=log_dir, time_scale=time_scale) as aws:
        world = World(aws, aws.deploy(assembly, STACK_NAME), log_dir)
        credentials = {"login_url": org_url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        world.secret_is(json.dumps(credentials))
        yield world


def as_operator(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary environment of the AWS command line."""
    for name, value in world.aws.access.variables().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
