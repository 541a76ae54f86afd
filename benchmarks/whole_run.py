"""massive-upload's own run of the data path's benchmark, as the state machines call the use cases."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3

from benchmarks.deals import EXTERNAL_ID, OBJECT, SOURCE, TARGETS, TIME_SCALE, Login
from massive_upload.adapters.aws import S3Files, SystemClock
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.container import CALLS
from massive_upload.contracts import ExecutionContext, FinishRunInput, Next, PlanRunInput, SliceInput, Step
from massive_upload.domain.load import Load
from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.credentials import ClientSecret
from massive_upload.usecases.check_job import check_job
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.finish_run import finish_run
from massive_upload.usecases.org import Org
from massive_upload.usecases.plan_run import plan_run
from massive_upload.usecases.planning.request import PlanServices
from massive_upload.usecases.run_config import RunConfigs
from massive_upload.usecases.settle_batch import settle_batch
from massive_upload.usecases.slice_tasks import SliceServices
from massive_upload.usecases.upload_batch import upload_batch

TABLE = "progress"
BUCKET = "files"
REGION = "eu-west-1"
RUN = "measured"


@dataclass(frozen=True)
class AwsClients:
    """What a function makes once in its life, before it works on anything."""

    dynamodb: Any
    s3: Any

    @classmethod
    def made(cls) -> AwsClients:
        """Clients of the AWS services at `AWS_ENDPOINT_URL`."""
        return cls(aws_client("dynamodb"), aws_client("s3"))


def massive_upload(login: Login, *, clients: AwsClients, job_rows: int, types: Mapping[str, str]) -> int:
    """A run from its plan to its receipt, as the state machines call the use cases.

    Args:
        login: to the org.
        clients: of AWS.
        job_rows: rows of a job.
        types: those of the columns that are no text.
    """
    clock = SystemClock()
    store, files = DynamoDbProgress(Table(clients.dynamodb, TABLE), clock), S3Files(clients.s3, BUCKET)
    secret = ClientSecret(login_url=login.url, client_id=login.client_id, client_secret=login.client_secret)
    services = SliceServices(
        store=store, files=files, configs=RunConfigs(files), org=Org(Connection(secret)), clock=clock
    )
    execution = ExecutionContext(arn="arn:aws:states:::measured", name=RUN, started_at=datetime.now(UTC))
    planning = PlanServices(
        tasks=services,
        executions=_NoOtherExecutions(),
        load_named={"deals": deals(job_rows, types)}.__getitem__,
        sequence_named=lambda _: None,
    )
    while (plan := plan_run(PlanRunInput(execution=execution, input={"load": "deals"}), planning)).next == "Wait":
        time.sleep(plan.wait_seconds / TIME_SCALE)
    for lane in plan.lanes:
        while _slice(clients.dynamodb, services, lane.partition) is Next.MORE:
            pass
    verdict = finish_run(FinishRunInput(execution=execution, state={"input": {}}), services)
    if verdict.status != "Completed":
        raise RuntimeError(f"The run ended as {verdict.status}: {verdict.error} {verdict.cause}")
    return verdict.succeeded


class _NoOtherExecutions:
    def ended_as(self, execution_arn: str) -> str | None:
        """No other execution is known."""
        return "ABORTED" if execution_arn else None


def _slice(dynamodb: Any, services: SliceServices, partition: str) -> Next:  # noqa: ANN401 - a client of boto3
    """One slice, with its native claim; where each task leads is what `infra/workflow/slice.py` says."""
    claimed = dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"RUN#{RUN}"}, "sk": {"S": f"PART#{partition}"}},
        UpdateExpression="SET epoch = epoch + :one, #status = :running",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":one": {"N": "1"}, ":running": {"S": "Running"}},
        ReturnValues="UPDATED_NEW",
    )
    task = SliceInput(
        run_id=RUN, partition=partition, step=Step(epoch=int(claimed["Attributes"]["epoch"]["N"]), next=Next.FETCH)
    )
    work: Callable[[SliceInput, SliceServices], Step] = fetch_page
    while True:
        step = work(task, services)
        task = task.model_copy(update={"step": step})
        if step.next in (Next.DONE, Next.MORE):
            return step.next
        if step.next in (Next.WAIT_FOR_JOB, Next.BACK_OFF, Next.WAIT_FOR_QUERY, Next.WAIT_FOR_TURN):
            time.sleep(step.wait_seconds / TIME_SCALE)
        following = {Next.UPLOAD: upload_batch, Next.WAIT_FOR_JOB: check_job, Next.SETTLE: settle_batch}
        work = following.get(step.next, fetch_page)


def deals(job_rows: int, types: Mapping[str, str]) -> Load:
    """The load of the benchmark: its own lane for all rows, without delay between its batches."""
    return Load.model_validate(
        {
            "name": "deals",
            "source": {"object": SOURCE, "key": "deal_no"},
            "target": {"object": OBJECT, "external_id": EXTERNAL_ID},
            "fields": {name: {"to": target, "type": types.get(name, "text")} for name, target in TARGETS.items()},
            "partitioning": {"count": 1},
            "pace": {"batch_rows": job_rows, "delay_seconds": 0, "stagger_seconds": 0},
        }
    )


def aws_client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
    """A client of the AWS services at `AWS_ENDPOINT_URL`, with the credentials of the environment."""
    session: Any = boto3.session.Session(
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        os.environ["AWS_SESSION_TOKEN"],
        region_name=REGION,
    )
    return session.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=CALLS)
