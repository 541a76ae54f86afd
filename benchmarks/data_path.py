"""What it costs the loader to bring rows from Data Cloud to settled records, beside peers and beside the floor.

Run it as ``python -m benchmarks.data_path``; ``--rows 1000000 --repeats 5`` is the full measurement.

- The simulated org and the embedded AWS are processes of their own; so is each loader, in turn. Measured are the CPU
  seconds of the loader's process, user and system, after it has loaded what a function loads once in its life, which
  are its modules and boto3's descriptions of AWS; and its peak of resident memory (VmHWM of Linux), all included.
- Rows have 12 columns and about 110 bytes. The org writes them without delay and refuses none.
- *massive-upload*: the use cases behind the handlers, one lane, batches of 10,000, from the plan to the receipt, with
  all calls to DynamoDB, S3 and the org over HTTP. Not in it: Lambda's own work and the state machine's.
- *floor*: pages, orjson, csv, upload; nothing is recorded, and no job is looked at.
- Both once more with 50,000 rows a job, which a load by key may have (``pace.batch_rows``).
- Both once more with *mixed rows*: three columns are NULL in a tenth to half of the rows; two columns are numbers, one
  is a date, one a boolean, one a time. The floor has the server write them as text that the Bulk API takes.
- *rare collections*: the floor once more, looking for garbage as rarely as the functions do; the other loaders written
  in Python do so as often as Python does by itself.
- *simple-salesforce*: the floor's pages into a file, or into dicts, and its own bulk2.upsert from there, 10,000 rows a
  job. It waits for each job and reads no results.
- *jsforce*: the pages as objects, 10,000 records a job, loadAndWaitForResults.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import duckdb

from benchmarks.deals import COLUMNS, EXTERNAL_ID, JOB_ROWS, MIXED_COLUMNS, OBJECT, SQL, TIME_SCALE, Login
from benchmarks.loader import PYTHON_LOADERS, Cost
from benchmarks.peers.python_loaders import session_of
from benchmarks.whole_run import BUCKET, REGION, TABLE, aws_client
from infra.npm import NODE_BIN, node_environment, npm_package
from local.aws.embedded import EmbeddedAws
from local.org import OrgSettings, file_source
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from local.org.process import OrgProcess

_NO_API_REQUESTS = ("token", "inspection")
"""What the simulated org counts beside the requests that Salesforce counts."""
_LONGEST_JOB_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_VARIANTS_WITH_FLOORS = ("large jobs", "mixed rows")
_TEXTS = "deals.parquet"
_MIXED = "mixed_deals.parquet"


@contextmanager
def aws_services() -> Iterator[None]:
    """The embedded AWS in a process of its own, with an empty table and bucket; the environment says how to call it."""
    command = [sys.executable, "-m", "benchmarks.data_path", "--serve-aws"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    try:
        told = child.stdout.readline() if child.stdout is not None else ""
        with mock.patch.dict(os.environ, json.loads(told)):
            keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
            aws_client("dynamodb").create_table(
                TableName=TABLE,
                KeySchema=keys,
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
                BillingMode="PAY_PER_REQUEST",
            )
            aws_client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
            yield
    finally:
        child.communicate()  # closes its input, which ends it


def serve_aws() -> None:
    """Serve the embedded AWS, tell the parent how to call it, and end with the input."""
    with tempfile.TemporaryDirectory() as scratch, EmbeddedAws(work_dir=Path(scratch)) as aws:
        print(json.dumps(aws.access.variables()), flush=True)  # into a pipe: nobody else can read the session token
        sys.stdin.read()


def write_rows(directory: Path, rows: int) -> None:
    """The sources, as Parquet."""
    for path, columns in ((directory / _TEXTS, COLUMNS), (directory / _MIXED, MIXED_COLUMNS)):
        selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
        duckdb.sql(f"COPY (SELECT {selected} FROM range({rows}) AS numbers(n)) TO '{path}' (FORMAT parquet)")  # noqa: S608 - our own names


def measure(loader: str, scratch: Path) -> Cost:
    """One run of a loader against an org and AWS services of its own.

    Args:
        loader: its name.
        scratch: the directory with the sources, for files of the loader too.
    """
    parquet = scratch / (_MIXED if loader.endswith("mixed rows") else _TEXTS)
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
        _await_rows(org, cost.rows)
        requests = sum(count for kind, count in org.statistics()["requests"].items() if kind not in _NO_API_REQUESTS)
        return Cost(cost.cpu_seconds, cost.peak_mb, cost.rows, requests)
    finally:
        org.stop()


def _await_rows(org: OrgProcess, rows: int) -> None:
    """Wait for the last jobs of a loader that does not look at them, until every row is in the org."""
    deadline = time.monotonic() + _LONGEST_JOB_SECONDS
    while (landed := org.count(OBJECT)) < rows:
        if time.monotonic() > deadline:
            raise RuntimeError(f"Of {rows} rows the org has {landed}.")
        time.sleep(_LOOK_SECONDS)


def _login(org_url: str) -> Login:
    return Login(org_url, CLIENT_ID, CLIENT_SECRET)


def _measure_python(loader: str, org_url: str, scratch: Path) -> Cost:
    answer = scratch / "answer.json"
    with aws_services() if loader.startswith("massive-upload") else nullcontext():
        command = [sys.executable, "-m", "benchmarks.loader", loader, org_url, CLIENT_ID, CLIENT_SECRET, str(answer)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
    return Cost(**json.loads(answer.read_text(encoding="utf-8")))


def _measure_jsforce(org_url: str) -> Cost:
    session, _ = session_of(_login(org_url))
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
    every_loader = [*PYTHON_LOADERS, "jsforce"]
    parser.add_argument("--only", action="append", choices=every_loader, help="a loader; may be given several times")
    parser.add_argument("--serve-aws", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve_aws:
        serve_aws()
        return
    loaders = asked.only or every_loader
    found: dict[str, list[Cost]] = {loader: [] for loader in loaders}
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        write_rows(scratch, asked.rows)
        for _ in range(asked.repeats):
            for loader in loaders:
                cost = measure(loader, scratch)
                found[loader].append(cost)
                print(f"{loader}: {cost.cpu_seconds:.1f} CPU s, {cost.peak_mb:.0f} MB", file=sys.stderr, flush=True)
    print(f"{asked.rows:,} rows, {asked.repeats} repeats\n")
    print(table(found, asked.rows))


def table(found: dict[str, list[Cost]], rows: int) -> str:
    """The medians, with the smallest and largest, per million rows; and the ratio to the floor with the same rows."""
    lines = [
        "| loader | CPU s per million rows (least to most) | times its floor | peak MB | requests per million |",
        "|---|---|---|---|---|",
    ]
    for loader, costs in found.items():
        if any(cost.rows != rows for cost in costs):
            raise RuntimeError(f"{loader} loaded {[cost.rows for cost in costs]} rows of {rows}.")
        seconds = _seconds_per_million(costs, rows)
        middle = statistics.median(seconds)
        variant = loader.partition(", ")[2]
        floor = found.get(f"floor, {variant}" if variant in _VARIANTS_WITH_FLOORS else "floor")
        ratio = f"{middle / statistics.median(_seconds_per_million(floor, rows)):.2f}" if floor else "-"
        lines.append(
            f"| {loader} | {middle:.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | {ratio} "
            f"| {max(cost.peak_mb for cost in costs):.0f} "
            f"| {statistics.median(cost.requests for cost in costs) * 1_000_000 / rows:,.0f} |"
        )
    return "\n".join(lines)


def _seconds_per_million(costs: list[Cost], rows: int) -> list[float]:
    """CPU seconds of each run, for a million rows."""
    return [cost.cpu_seconds * 1_000_000 / rows for cost in costs]


if __name__ == "__main__":
    main()
