"""What it costs the loader to bring rows from Data Cloud to settled records, beside peers and beside the floor.

Run it as ``python -m benchmarks.data_path``; ``--rows 1000000 --repeats 5`` is the full measurement.

- The simulated org and the embedded AWS are processes of their own; so is each loader, in turn. Measured are the CPU
  seconds of the loader's process, user and system, after its imports, and its peak of resident memory (VmHWM of Linux;
  Node's own figure for jsforce), imports included.
- Rows have 12 columns and about 110 bytes. The org writes them without delay and refuses none.
- *massive-upload*: the use cases behind the handlers, one lane, batches of 10,000, from the plan to the receipt, with
  all calls to DynamoDB, S3 and the org over HTTP. Not in it: Lambda's own work and the state machine's.
- *floor*: pages, orjson, csv, upload; nothing is recorded, and no job is looked at.
- Both once more with 50,000 rows a job, which a load by key may have (``pace.batch_rows``).
- *simple-salesforce*: the floor's pages into a file, or into dicts, and its own bulk2.upsert from there, 10,000 rows a
  job. It waits for each job and reads no results.
- *jsforce*: the pages as objects, 10,000 records a job, loadAndWaitForResults.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import duckdb
import orjson
import requests

from infra.npm import NODE_BIN, node_environment, npm_package
from local.aws.embedded import EmbeddedAws
from local.org import OrgSettings, file_source
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from local.org.process import OrgProcess
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
from massive_upload.usecases.plan_run import PlanServices, plan_run
from massive_upload.usecases.run_config import RunConfigs
from massive_upload.usecases.settle_batch import settle_batch
from massive_upload.usecases.slice_tasks import SliceServices
from massive_upload.usecases.upload_batch import upload_batch

JOB_ROWS = 10_000
LARGE_JOB_ROWS = 50_000
OBJECT = "Deal__c"
SOURCE = "Deal__dlm"
EXTERNAL_ID = "External_ID__c"
TIME_SCALE = 200
RUN = "measured"
COLUMNS = {
    "deal_no": "'D-' || lpad(CAST(n AS VARCHAR), 9, '0')",
    "account_no": "'A-' || lpad(CAST(n // 20 AS VARCHAR), 7, '0')",
    "title": "'Deal ' || CAST(n AS VARCHAR)",
    "stage": "CASE n % 3 WHEN 0 THEN 'Open' WHEN 1 THEN 'Won' ELSE 'Lost' END",
    "amount": "CAST((n % 100000) / 4 AS DECIMAL(12,2))",
    "units": "CAST(n % 90 AS INTEGER)",
    "closed_on": "CAST(DATE '2024-01-01' + CAST(n % 700 AS INTEGER) AS VARCHAR)",
    "city": "CASE n % 4 WHEN 0 THEN 'Lisboa' WHEN 1 THEN 'Kraków' WHEN 2 THEN 'Oslo' ELSE 'Graz' END",
    "is_new": "CASE WHEN n % 2 = 0 THEN 'true' ELSE 'false' END",
    "note": "CASE WHEN n % 10 = 0 THEN 'said \"yes\", twice' ELSE 'none' END",
    "owner": "'user' || CAST(n % 400 AS VARCHAR)",
    "region": "'EMEA'",
}
TARGETS = {name: EXTERNAL_ID if name == "deal_no" else name for name in COLUMNS}
SQL = f'SELECT {", ".join(f"CAST({name} AS VARCHAR) AS {name}" for name in COLUMNS)} FROM "{SOURCE}" ORDER BY deal_no'  # noqa: S608 - our own names

TABLE = "progress"
BUCKET = "files"
REGION = "eu-west-1"


@dataclass(frozen=True)
class Cost:
    """What a loader's process used; ``requests`` are those that the org has counted."""

    cpu_seconds: float
    peak_mb: float
    rows: int
    requests: int = 0


# -- the loaders, each in a process of its own


def _session(org_url: str) -> tuple[requests.Session, str]:
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    token = requests.post(f"{org_url}/services/oauth2/token", data=form, timeout=30).json()["access_token"]
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    return session, f"{org_url}/services/data/v66.0"


def _pages(session: requests.Session, root: str, job_rows: int = JOB_ROWS) -> Iterator[list[list[Any]]]:
    """The rows of the query, as many as one job takes at a time."""
    body = orjson.dumps({"sql": SQL, "rowLimit": 1})
    headers = {"Content-Type": "application/json"}
    asked = session.post(f"{root}/ssot/query-sql?dataspace=default", data=body, headers=headers, timeout=600)
    status = orjson.loads(asked.content)["status"]
    offset, total = 0, status["rowCount"]
    while offset < total:
        rows: list[list[Any]] = []
        while len(rows) < job_rows and offset < total:
            limit = min(job_rows - len(rows), total - offset)
            path = f"{root}/ssot/query-sql/{status['queryId']}/rows?offset={offset}&rowLimit={limit}&dataspace=default"
            page = orjson.loads(session.get(path, timeout=600).content)["data"]
            rows += page
            offset += len(page)
        yield rows


def floor(org_url: str, *, job_rows: int = JOB_ROWS) -> int:
    """Pages, orjson, csv, upload."""
    session, root = _session(org_url)
    loaded = 0
    for rows in _pages(session, root, job_rows):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(TARGETS.values())
        writer.writerows(rows)
        job = {"object": OBJECT, "operation": "upsert", "externalIdFieldName": EXTERNAL_ID, "lineEnding": "LF"}
        created = session.post(f"{root}/jobs/ingest", json=job, timeout=60).json()["id"]
        headers = {"Content-Type": "text/csv"}
        content = text.getvalue().encode()
        session.put(f"{root}/jobs/ingest/{created}/batches", data=content, headers=headers, timeout=600)
        session.patch(f"{root}/jobs/ingest/{created}", json={"state": "UploadComplete"}, timeout=60)
        loaded += len(rows)
    return loaded


def simple_salesforce_file(org_url: str) -> int:
    """The pages into a file; one job after the other from it."""
    session, root = _session(org_url)
    bulk = _simple_salesforce(session, root)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(TARGETS.values())
            for rows in _pages(session, root):
                writer.writerows(rows)
        results = bulk.upsert(str(path), external_id_field=EXTERNAL_ID, batch_size=JOB_ROWS, wait=1)
    return sum(result["numberRecordsProcessed"] for result in results)


def simple_salesforce_dicts(org_url: str) -> int:
    """The pages as dicts; a job for each 10,000."""
    session, root = _session(org_url)
    bulk = _simple_salesforce(session, root)
    loaded = 0
    for rows in _pages(session, root):
        records = [dict(zip(TARGETS.values(), row, strict=True)) for row in rows]
        results = bulk.upsert(records=records, external_id_field=EXTERNAL_ID, batch_size=JOB_ROWS, wait=1)
        loaded += sum(result["numberRecordsProcessed"] for result in results)
    return loaded


def _simple_salesforce(session: requests.Session, root: str) -> Any:  # noqa: ANN401 - made at run time
    from simple_salesforce.bulk2 import SFBulk2Handler

    token = str(session.headers["Authorization"]).removeprefix("Bearer ")
    return getattr(SFBulk2Handler(token, f"{root}/jobs/"), OBJECT)


def massive_upload(org_url: str, *, job_rows: int = JOB_ROWS) -> int:
    """A run from its plan to its receipt, as the state machines call the use cases."""
    dynamodb, s3 = _aws("dynamodb"), _aws("s3")
    store, files, clock = DynamoDbProgress(Table(dynamodb, TABLE), SystemClock()), S3Files(s3, BUCKET), SystemClock()
    secret = ClientSecret(login_url=org_url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    services = SliceServices(
        store=store, files=files, configs=RunConfigs(files), org=Org(Connection(secret)), clock=clock
    )
    execution = ExecutionContext(arn="arn:aws:states:::measured", name=RUN, started_at=datetime.now(UTC))
    planning = PlanServices(
        tasks=services,
        executions=_NoOtherExecutions(),
        clock=clock,
        load_named={"deals": deals(job_rows)}.__getitem__,
        sequence_named=lambda _: None,
    )
    while (plan := plan_run(PlanRunInput(execution=execution, input={"load": "deals"}), planning)).next == "Wait":
        time.sleep(plan.wait_seconds / TIME_SCALE)
    for lane in plan.lanes:
        while _slice(dynamodb, services, lane.partition) is Next.MORE:
            pass
    verdict = finish_run(FinishRunInput(execution=execution, state={"input": {}}), services, clock)
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
        if work is upload_batch:
            work = fetch_page
            continue
        if step.next in (Next.WAIT_FOR_JOB, Next.BACK_OFF, Next.WAIT_FOR_QUERY, Next.WAIT_FOR_TURN):
            time.sleep(step.wait_seconds / TIME_SCALE)
        following = {Next.UPLOAD: upload_batch, Next.WAIT_FOR_JOB: check_job, Next.SETTLE: settle_batch}
        work = following.get(step.next, fetch_page)


def deals(job_rows: int = JOB_ROWS) -> Load:
    """The load of the benchmark: its own lane for all rows, without delay between its batches."""
    return Load.model_validate(
        {
            "name": "deals",
            "source": {"object": SOURCE, "key": "deal_no"},
            "target": {"object": OBJECT, "external_id": EXTERNAL_ID},
            "fields": {name: {"to": target} for name, target in TARGETS.items()},
            "partitioning": {"count": 1},
            "pace": {"batch_rows": job_rows, "delay_seconds": 0, "stagger_seconds": 0},
        }
    )


def _aws(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
    session: Any = boto3.session.Session("none", "none", region_name=REGION)
    return session.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=CALLS)


LOADERS: dict[str, Callable[[str], int]] = {
    "floor": floor,
    "massive-upload": massive_upload,
    "floor, large jobs": partial(floor, job_rows=LARGE_JOB_ROWS),
    "massive-upload, large jobs": partial(massive_upload, job_rows=LARGE_JOB_ROWS),
    "simple-salesforce, file": simple_salesforce_file,
    "simple-salesforce, dicts": simple_salesforce_dicts,
}


def carry_out(loader: str, org_url: str, answer: Path) -> None:
    """Run one loader in this process and write down what it used."""
    is_ours = loader.startswith("massive-upload")
    importlib.import_module("massive_upload.lambda_handler" if is_ours else "simple_salesforce.bulk2")
    before = resource.getrusage(resource.RUSAGE_SELF)
    rows = LOADERS[loader](org_url)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer.write_text(json.dumps(asdict(Cost(cpu_seconds, _peak_mb(), rows))), encoding="utf-8")


def _peak_mb() -> float:
    """This process's peak of resident memory; getrusage would begin with that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


# -- the world around them


@contextmanager
def aws_services() -> Iterator[str]:
    """The embedded AWS in a process of its own, with an empty table and bucket."""
    command = [sys.executable, "-m", "benchmarks.data_path", "--serve-aws"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    try:
        url = child.stdout.readline().strip() if child.stdout is not None else ""
        os.environ["AWS_ENDPOINT_URL"] = url
        keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
        _aws("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=keys,
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        _aws("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield url
    finally:
        child.communicate()  # closes its input, which ends it


def serve_aws() -> None:
    """Serve the embedded AWS, say where, and end with the input."""
    with tempfile.TemporaryDirectory() as scratch, EmbeddedAws(work_dir=Path(scratch)) as aws:
        print(aws.endpoint_url, flush=True)
        sys.stdin.read()


def write_rows(path: Path, rows: int) -> None:
    """The source, as Parquet."""
    columns = ", ".join(f"{sql} AS {name}" for name, sql in COLUMNS.items())
    duckdb.sql(f"COPY (SELECT {columns} FROM range({rows}) AS numbers(n)) TO '{path}' (FORMAT parquet)")  # noqa: S608 - our own names


def measure(loader: str, parquet: Path, scratch: Path) -> Cost:
    """One run of a loader against an org and AWS services of its own."""
    source = file_source(parquet, object_name=OBJECT, key="deal_no")
    settings = OrgSettings(
        source=source,
        time_scale=TIME_SCALE,
        row_ms=0,
        queue_seconds=0,
        query_kept_seconds=1e9,
        session_seconds=1e9,
        daily_bulk_batches=100_000,
    )
    org = OrgProcess(settings)
    org.start()
    try:
        cost = _measure_jsforce(org.url) if loader == "jsforce" else _measure_python(loader, org.url, scratch)
        session, root = _session(org.url)
        used = session.get(f"{root}/limits", timeout=60).json()["DailyApiRequests"]
        return Cost(cost.cpu_seconds, cost.peak_mb, cost.rows, requests=used["Max"] - used["Remaining"] - 1)
    finally:
        org.stop()


def _measure_python(loader: str, org_url: str, scratch: Path) -> Cost:
    answer = scratch / "answer.json"
    with aws_services():
        command = [sys.executable, "-m", "benchmarks.data_path", "--carry-out", loader, org_url, str(answer)]
        with (scratch / "log").open("w") as log:
            subprocess.run(command, check=True, stdout=log)  # noqa: S603 - our own
    return Cost(**json.loads(answer.read_text(encoding="utf-8")))


def _measure_jsforce(org_url: str) -> Cost:
    session, _ = _session(org_url)
    token = str(session.headers["Authorization"]).removeprefix("Bearer ")
    directory = npm_package("jsforce", "3.10.16")
    script = Path(__file__).parent / "peers" / "load.js"
    sql = SQL.replace("AS deal_no", f'AS "{EXTERNAL_ID}"').replace("ORDER BY deal_no", "ORDER BY 1")
    command = [
        str(NODE_BIN / "node"),
        str(script),
        str(directory),
        org_url,
        token,
        sql,
        OBJECT,
        EXTERNAL_ID,
        str(JOB_ROWS),
    ]
    done = subprocess.run(command, check=True, env=node_environment(), stdout=subprocess.PIPE)  # noqa: S603 - our own
    return Cost(**json.loads(done.stdout))


def main() -> None:
    """Measure each loader in turn, as often as asked, and print the medians beside the floor's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", action="append", help="a loader; may be given several times")
    parser.add_argument("--serve-aws", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--carry-out", nargs=3, metavar=("LOADER", "ORG_URL", "ANSWER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve_aws:
        serve_aws()
        return
    if asked.carry_out:
        loader, org_url, answer = asked.carry_out
        carry_out(loader, org_url, Path(answer))
        return
    loaders = asked.only or [*LOADERS, "jsforce"]
    found: dict[str, list[Cost]] = {loader: [] for loader in loaders}
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        write_rows(scratch / "deals.parquet", asked.rows)
        for _ in range(asked.repeats):
            for loader in loaders:
                cost = measure(loader, scratch / "deals.parquet", scratch)
                found[loader].append(cost)
                print(f"{loader}: {cost.cpu_seconds:.1f} CPU s, {cost.peak_mb:.0f} MB", file=sys.stderr, flush=True)
    print(f"{asked.rows:,} rows, {asked.repeats} repeats\n")
    print(table(found, asked.rows))


def table(found: dict[str, list[Cost]], rows: int) -> str:
    """The medians, with the smallest and largest, per million rows; and the ratio to the floor's."""
    lines = [
        "| loader | CPU s per million rows (least to most) | times the floor | peak MB | requests per million |",
        "|---|---|---|---|---|",
    ]
    base = statistics.median(cost.cpu_seconds for cost in found["floor"]) if "floor" in found else None
    for loader, costs in found.items():
        if any(cost.rows != rows for cost in costs):
            raise RuntimeError(f"{loader} loaded {[cost.rows for cost in costs]} rows of {rows}.")
        seconds = [cost.cpu_seconds * 1_000_000 / rows for cost in costs]
        middle = statistics.median(seconds)
        ratio = f"{statistics.median(cost.cpu_seconds for cost in costs) / base:.2f}" if base else "-"
        lines.append(
            f"| {loader} | {middle:.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | {ratio} "
            f"| {max(cost.peak_mb for cost in costs):.0f} "
            f"| {statistics.median(cost.requests for cost in costs) * 1_000_000 / rows:,.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
