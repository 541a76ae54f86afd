"""What a run costs in the engine that carries it: state transitions, history events, functions, requests; idle lanes.

Run it as ``python -m benchmarks.engine``. The synthesized stack runs on the embedded AWS, with its real functions, and
loads generated opportunities (0.2 % of which are refused) into the simulated org.

- *Counts* are exact and do not depend on the machine, but for the looks at jobs, of which each adds three transitions:
  they are told apart. What was not run is foreseen from three runs: so much for a run, for each lane and for each job.
- *Idle time* of a lane: from the creation of its first job until it has completed, in the org's time, less the time in
  which the org has one of its jobs, from its creation to its last row. All other time that this machine takes for the
  lane's work is multiplied by the time scale and counted as idle, so that the true idle time is shorter.
- *The planner*: cutting buckets into lanes, and making their items, without DynamoDB's own time; and whole runs with
  mode plan, with DuckDB in place of Data Cloud.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import requests
from botocore.hooks import HierarchicalEmitter

from cli.local_run import LocalRun, RunRequest, start_local_run
from cli.synthesis import ROOT
from infra.config import load_file
from local.org import OrgProcess, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from massive_upload.adapters.aws import SystemClock
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.contracts import Lane, Plan
from massive_upload.domain import presets
from massive_upload.domain.estimate import USD_PER_TRANSITION
from massive_upload.domain.lanes import Bucket, cut_lanes
from massive_upload.domain.progress import LaneKind, Run, RunStatus, partition_id
from massive_upload.ports import PlannedLane

TRANSITIONS_OF_A_LOOK = 3
"""WaitForJob, CheckJob, JobEnded?"""

FUNCTIONS = (
    "PlanRun",
    "FetchPage",
    "UploadBatch",
    "CheckJob",
    "SettleBatch",
    "CheckPatience",
    "PlanSweep",
    "FinishRun",
)

QUEUE_SECONDS = 1.0
LONGEST_RUN_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is loaded.

    Attributes:
        rows: opportunities.
        batch_rows: rows of a job.
        lanes: how many.
        by: of what: parents, or keys at the guide's pace for a high risk of locks.
        workers: batches that the org works on at the same time.
        row_ms: what the org takes to write a row, in milliseconds.
        time_scale: by how much all waiting is divided.
    """

    rows: int
    batch_rows: int = 10_000
    lanes: int = 4
    by: str = "parent"
    workers: int = 20
    row_ms: float = 2.0
    time_scale: float = 100.0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was counted in a run.

    Attributes:
        looks: at jobs that were in flight.
        max_events: history events of the longest execution.
        invocations: of each function.
        org_requests: API requests that the org has counted.
        org_batches: batches of 10,000 rows or fewer that it has counted.
        service_requests: requests to AWS services, as `local.aws.requests` names them.
        staged_bytes: of all files of rows.
        idle_percent: of each lane.
        seconds: of the run on this machine, from its start to its end.
    """

    rows: int
    lanes: int
    jobs: int
    looks: int
    transitions: int
    executions: int
    max_events: int
    invocations: Mapping[str, int]
    org_requests: int
    org_batches: int
    service_requests: Mapping[str, int]
    staged_bytes: int
    idle_percent: tuple[float, ...] = ()
    seconds: float = 0.0

    @property
    def transitions_without_looks(self) -> int:
        """What does not depend on how long jobs take."""
        return self.transitions - TRANSITIONS_OF_A_LOOK * self.looks


@dataclass(frozen=True, kw_only=True)
class Model:
    """Transitions: so many for a run, each lane and each job, looks not included."""

    of_run: float
    of_lane: float
    of_job: float

    def transitions(self, *, lanes: int, jobs: int, looks: float) -> float:
        """What a run comes to whose jobs are looked at so often in all."""
        return self.of_run + self.of_lane * lanes + self.of_job * jobs + TRANSITIONS_OF_A_LOOK * looks


def model_of(small: Counts, large: Counts, wide: Counts) -> Model:
    """What follows from a run, one with more jobs in as many lanes, and one with more lanes.

    Raises:
        ValueError: the runs do not differ by that.
    """
    if small.lanes != large.lanes or small.jobs == large.jobs or small.lanes == wide.lanes:
        raise ValueError("The second run needs more jobs in as many lanes, the third one more lanes.")
    of_job = (large.transitions_without_looks - small.transitions_without_looks) / (large.jobs - small.jobs)
    widened = wide.transitions_without_looks - small.transitions_without_looks - of_job * (wide.jobs - small.jobs)
    of_lane = widened / (wide.lanes - small.lanes)
    of_run = small.transitions_without_looks - of_lane * small.lanes - of_job * small.jobs
    return Model(of_run=of_run, of_lane=of_lane, of_job=of_job)


def jobs_of(rows: int, *, batch_rows: int, lanes: int) -> int:
    """Jobs of even lanes, without any that are sent again."""
    return lanes * -(-rows // (lanes * batch_rows))


def usd(transitions: float) -> float:
    """What state transitions cost; those that are free are in it."""
    return transitions * USD_PER_TRANSITION


def per_million(count: float, rows: int) -> float:
    """A count of so many rows, for a million of them."""
    return count * 1_000_000 / rows


def idle_percent(jobs: Sequence[tuple[float, float]], *, until: float) -> float:
    """How much of a lane's time none of its jobs was in the org's hands.

    Args:
        jobs: when each was created and when its last row was written, in seconds.
        until: when the lane had completed; its time begins with its first job.
    """
    begun, busy, reached = min(jobs)[0], 0.0, 0.0
    for created, ended in sorted(jobs):
        busy += max(0.0, ended - max(created, reached))
        reached = max(reached, ended)
    return 100 * (1 - busy / (until - begun))


# -- runs


@contextmanager
def _org(case: Case) -> Iterator[OrgProcess]:
    settings = OrgSettings(
        source=generated_opportunities(case.rows),
        time_scale=case.time_scale,
        workers=case.workers,
        row_ms=case.row_ms,
        queue_seconds=QUEUE_SECONDS,
        session_seconds=1e9,
        query_kept_seconds=1e9,
        daily_bulk_batches=1_000_000,
        daily_api_requests=10_000_000,
    )
    with OrgProcess(settings) as org:
        yield org


@contextmanager
def _run(case: Case, org: OrgProcess, mode: str) -> Iterator[LocalRun]:
    sets = [f"partitioning.by={case.by}", f"partitioning.count={case.lanes}", f"pace.batch_rows={case.batch_rows}"]
    request = RunRequest(
        load=load_file(ROOT / "loads" / "opportunity.yaml", sets=sets),
        mode=mode,
        secret={"login_url": org.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
        run_id="measured",
        time_scale=case.time_scale,
    )
    with tempfile.TemporaryDirectory() as scratch:
        work, logs = Path(scratch) / "work", Path(scratch) / "logs"
        with start_local_run(request, work_dir=work, log_dir=logs, say=lambda _: None) as run:
            yield run


def measure(case: Case) -> Counts:
    """Load a case and count.

    Raises:
        RuntimeError: the run has not completed.
    """
    with _org(case) as org, _run(case, org, "full") as run:
        seconds = _await_end(run)
        used = {name: limit["Max"] - limit["Remaining"] for name, limit in org.statistics()["limits"].items()}
        figures, lanes = run.figures, run.store.partitions(run.run_id)
        batches = [batch for lane in lanes for batch in run.store.batches(run.run_id, lane.partition)]
        return Counts(
            rows=case.rows,
            lanes=len(lanes),
            jobs=sum(lane.jobs for lane in lanes),
            looks=_invocations(figures.lambda_invocations).get("CheckJob", 0),
            transitions=figures.state_transitions,
            executions=len(figures.executions),
            max_events=figures.max_history_events,
            invocations=_invocations(figures.lambda_invocations),
            org_requests=used["DailyApiRequests"],
            org_batches=used["DailyBulkApiBatches"],
            service_requests=figures.service_requests,
            staged_bytes=sum(batch.size_bytes for batch in batches),
            idle_percent=_idle_percents(run, org, case.time_scale),
            seconds=seconds,
        )


def _await_end(run: LocalRun) -> float:
    begun = time.monotonic()
    if not run.has_ended(within_seconds=LONGEST_RUN_SECONDS) or run.result is None:
        raise RuntimeError("The run did not end.")
    if run.result.status != "SUCCEEDED":
        raise RuntimeError(f"The run ended as {run.result.status}: {run.result.error} {run.result.cause}")
    return time.monotonic() - begun


def _invocations(by_name: Mapping[str, int]) -> dict[str, int]:
    """By the function's name in the definition; CloudFormation adds to it."""
    return {short: sum(count for name, count in by_name.items() if short in name) for short in FUNCTIONS}


def _idle_percents(run: LocalRun, org: OrgProcess, time_scale: float) -> tuple[float, ...]:
    """Of each lane, in the org's time."""
    org_now, now = datetime.fromisoformat(org.statistics()["simulated_time"]), datetime.now(UTC)
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    token = requests.post(f"{org.url}/services/oauth2/token", data=form, timeout=60).json()["access_token"]
    found = []
    for lane in run.store.partitions(run.run_id):
        batches = run.store.batches(run.run_id, lane.partition)
        jobs = [_in_the_orgs_hands(org.url, token, str(batch.job_id)) for batch in batches]
        if lane.last_progress_at is not None and jobs:
            ended = org_now.timestamp() - (now - lane.last_progress_at).total_seconds() * time_scale
            found.append(idle_percent(jobs, until=ended))
    return tuple(found)


def _in_the_orgs_hands(org_url: str, token: str, job_id: str) -> tuple[float, float]:
    """When a job was created and when its last row was written, by what the org says of it."""
    path = f"{org_url}/services/data/v66.0/jobs/ingest/{job_id}"
    job = requests.get(path, headers={"Authorization": f"Bearer {token}"}, timeout=60).json()
    created, ended = (datetime.fromisoformat(job[name]).timestamp() for name in ("createdDate", "systemModstamp"))
    return created, ended


# -- the planner


def buckets(rows: int, parents: int = 1_000) -> list[Bucket]:
    """What the plan's statement tells of so many rows: neighbours of about even weight."""
    ends = [rows * (place + 1) // parents for place in range(parents)]
    return [
        Bucket(kind=LaneKind.PARENT, last=f"acc-{place:07d}", rows=end - start, parents=10)
        for place, (start, end) in enumerate(zip([0, *ends], ends, strict=False))
    ]


def planned(rows: int, count: int) -> list[PlannedLane]:
    """The lanes of so many rows."""
    ranges = cut_lanes(buckets(rows), count)
    return [
        PlannedLane(
            partition=partition_id(index),
            reads=each,
            start_delay_seconds=presets.start_delay_seconds(index, 0, max_concurrency=count),
        )
        for index, each in enumerate(ranges)
    ]


def payload_bytes(lanes: Sequence[PlannedLane]) -> int:
    """PlanRun's result, which Step Functions hands on: at most 262,144 bytes."""
    items = tuple(Lane(partition=lane.partition, short_wait_seconds=599, long_waits=2_016) for lane in lanes)
    return len(Plan(next="Load", run_id="r" * 80, lanes=items).model_dump_json())


def planner_table(repeats: int) -> str:
    """How long it takes to cut lanes, and to make their items; DynamoDB's own time is not in it."""
    lines = [
        "| lanes | cutting 100,000 rows, ms | 10,000,000 rows, ms | making their items, ms | PlanRun's result, bytes |",
        "|---|---|---|---|---|",
    ]
    for count in (1, 20, 200, 1_000):
        few, many = ([_milliseconds(partial(planned, rows, count)) for _ in range(repeats)] for rows in (10**5, 10**7))
        lanes = planned(10**7, count)
        record = [_milliseconds(partial(_record, lanes)) for _ in range(repeats)]
        lines.append(
            f"| {len(lanes):,} | {_spread(few)} | {_spread(many)} | {_spread(record)} | {payload_bytes(lanes):,} |"
        )
    return "\n".join(lines)


class _Answers:
    """DynamoDB as far as a time is concerned that is not its own."""

    meta = SimpleNamespace(events=HierarchicalEmitter())

    def transact_write_items(self, **_: object) -> None:
        """Takes everything."""


def _record(lanes: Sequence[PlannedLane]) -> None:
    client: Any = _Answers()
    run = Run(
        run_id="x", load="x", mode="full", status=RunStatus.PLANNING, execution_arn="x", started_at=datetime.now(UTC)
    )
    DynamoDbProgress(Table(client, "x"), SystemClock()).create_partitions(run, lanes, max_concurrency=len(lanes))


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"


def plan_seconds(rows: int) -> float:
    """A whole run with mode plan, on this machine."""
    case = Case(rows=rows, lanes=20)
    with _org(case) as org, _run(case, org, "plan") as run:
        return _await_end(run)


# -- tables


def counts_table(found: Sequence[tuple[Case, Counts]], models: Mapping[int, Model]) -> str:
    """What was counted, and what the model of the same size of batches tells of it."""
    lines = [
        "| rows | batches of | lanes by | lanes | jobs | looks a job | transitions | by the model | longest history "
        "| executions | API requests | Bulk batches |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case, counts in found:
        foreseen = models[case.batch_rows].transitions(lanes=counts.lanes, jobs=counts.jobs, looks=counts.looks)
        lines.append(
            f"| {case.rows:,} | {case.batch_rows:,} | {case.by} | {counts.lanes} | {counts.jobs:,} "
            f"| {counts.looks / counts.jobs:.2f} | {counts.transitions:,} | {foreseen:,.0f} | {counts.max_events:,} "
            f"| {counts.executions} | {counts.org_requests:,} | {counts.org_batches:,} |"
        )
    return "\n".join(lines)


def growth_table(models: Mapping[int, Model], looks_of_a_job: float = 1.0) -> str:
    """Transitions and their price from 100,000 to 100 million rows, by the model, in 20 lanes."""
    lines = ["| rows | batches of | jobs | transitions | USD | for a million rows |", "|---|---|---|---|---|---|"]
    for batch_rows, model in models.items():
        for rows in (100_000, 1_000_000, 10_000_000, 100_000_000):
            jobs = jobs_of(rows, batch_rows=batch_rows, lanes=20)
            count = model.transitions(lanes=20, jobs=jobs, looks=looks_of_a_job * jobs)
            lines.append(
                f"| {rows:,} | {batch_rows:,} | {jobs:,} | {count:,.0f} | {usd(count):.2f} "
                f"| {per_million(count, rows):,.0f} |"
            )
    return "\n".join(lines)


def services_table(small: Counts, large: Counts) -> str:
    """Invocations and requests that each further job takes."""
    jobs = large.jobs - small.jobs
    before = {**small.invocations, **small.service_requests}
    lines = ["| what | for each job |", "|---|---|"]
    for name, count in sorted({**large.invocations, **large.service_requests}.items()):
        each = (count - before.get(name, 0)) / jobs
        if round(each, 2):
            lines.append(f"| {name} | {each:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("counts", "idle", "planner", "all"), default="all")
    parser.add_argument("--repeats", type=int, default=5, help="of what is timed")
    parser.add_argument("--plan-rows", type=int, nargs="*", default=[100_000, 1_000_000], help="runs with mode plan")
    parser.add_argument("--idle-scale", type=float, default=5.0, help="time scale of the runs whose idle time is told")
    asked = parser.parse_args()
    if asked.part in ("planner", "all"):
        print(planner_table(asked.repeats), flush=True)
        for rows in asked.plan_rows:
            print(f"mode plan, {rows:,} rows: {plan_seconds(rows):.1f} s", flush=True)
    if asked.part in ("counts", "all"):
        print_counts()
    if asked.part in ("idle", "all"):
        print_idle(asked.idle_scale)


def print_counts() -> None:
    """Measure by both sizes of batches, and foresee what was not measured."""
    models, found = {}, []
    for batch_rows, sizes in {500: (10_000, 50_000, 20_000), 10_000: (40_000, 200_000, 400_000)}.items():
        small, large, other = (Case(rows=rows, batch_rows=batch_rows) for rows in sizes)
        wide = Case(rows=sizes[0], batch_rows=batch_rows, lanes=12)
        counted = [(case, measure(case)) for case in (small, large, wide, other)]
        models[batch_rows] = model_of(*(counts for _, counts in counted[:3]))
        found += counted
        print(f"{models[batch_rows]}\n{services_table(counted[0][1], counted[1][1])}\n", flush=True)
        rows, staged = counted[1][1].rows, counted[1][1].staged_bytes
        print(f"staged for a million rows: {per_million(staged, rows):,.0f} bytes\n")
    for case in (
        Case(rows=50_000, batch_rows=500, lanes=1, by="key"),
        Case(rows=200_000, batch_rows=500, lanes=1),
    ):
        found.append((case, measure(case)))
    print(counts_table(found, models), growth_table(models), sep="\n\n", flush=True)


def print_idle(time_scale: float) -> None:
    """Long jobs at a small time scale, so that this machine's own work counts for little.

    The org has a worker for each lane in the first two cases, and each lane of the second one has one short job; in the
    others jobs wait in its queue.
    """
    long_jobs = Case(rows=320_000, row_ms=15, time_scale=time_scale)
    short_jobs = replace(long_jobs, rows=100_000, lanes=20)
    queued = replace(long_jobs, rows=80_000, lanes=8, workers=4)
    for case in (long_jobs, short_jobs, queued, replace(short_jobs, workers=5)):
        counts = measure(case)
        print(
            f"\n{case}\nidle, percent of each lane's time: {', '.join(f'{each:.1f}' for each in counts.idle_percent)}; "
            f"{counts.jobs} jobs, {counts.looks / counts.jobs:.2f} looks each"
            f"; run: {counts.seconds * time_scale:,.0f} simulated s",
            flush=True,
        )


if __name__ == "__main__":
    main()
