"""The whole product in one place: the synthesized stack on the embedded AWS, and an org to load into."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.synth import STACK_NAME, synthesize
from local.aws.embedded import EmbeddedAws, ExecutionResult
from local.aws.figures import Figures
from local.aws.identity import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from massive_upload.adapters.aws import S3Files, SystemClock
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.load import Load

LONGEST_RUN_SECONDS = 240


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

    def receipt(self, run_id: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.files.read(receipt_key(run_id)))
        return document

    def log_lines(self) -> Iterator[str]:
        for path in sorted(self.log_dir.iterdir()):
            yield from path.read_text(encoding="utf-8").splitlines()

    def secret_is(self, value: str) -> None:
        self.aws.client("secretsmanager").put_secret_value(SecretId=self.outputs["SecretArn"], SecretString=value)


@contextmanager
def deployed(work_dir: Path, *, loads: Mapping[str, Load], org_url: str, time_scale: float) -> Iterator[World]:
    """Synthesize, deploy, and put the secret's value: what an operator does."""
    assembly = synthesize(work_dir / "cdk.out", loads=loads)
    log_dir = work_dir / "logs"
    with EmbeddedAws(work_dir=work_dir / "aws", log_dir=log_dir, time_scale=time_scale) as aws:
        world = World(aws, aws.deploy(assembly, STACK_NAME), log_dir)
        credentials = {"login_url": org_url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        world.secret_is(json.dumps(credentials))
        yield world


def as_operator(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary environment of the AWS command line."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", world.aws.endpoint_url)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
