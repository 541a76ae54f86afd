"""A simulated org over HTTP, moto's DynamoDB and S3, and the load machine's way through the use cases."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, TypeVar, cast

import boto3
from moto import mock_aws

from infra.config import load_directory
from infra.synth import ROOT
from local.aws import hooks
from local.org import Faults, ManualClock, OrgServer, OrgSettings, Source, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from local.org.faults import FaultPlan
from massive_upload.adapters.aws import S3Files
from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from massive_upload.contracts import (
    ExecutionContext,
    FinishRunInput,
    Plan,
    PlanRunInput,
    PlanSoFar,
    SliceInput,
    Sweep,
    Verdict,
)
from massive_upload.domain.load import Load, LoadSequence, PaceOverrides, PartitioningOverrides
from massive_upload.domain.progress import Batch, Partition, PartitionStatus, Run
from massive_upload.errors import LoadError, PassingError
from massive_upload.ports import Files, ProgressStore
from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.credentials import ClientSecret
from massive_upload.salesforce.transport import RequestsTransport, Transport
from massive_upload.usecases.check_job import check_job
from massive_upload.usecases.finish_run import finish_run
from massive_upload.usecases.org import Org
from massive_upload.usecases.plan_run import plan_run
from massive_upload.usecases.plan_sweep import plan_sweep
from massive_upload.usecases.planning.request import PlanServices
from massive_upload.usecases.run_config import RunConfigs
from massive_upload.usecases.slice_tasks import SliceServices
from massive_upload.usecases.upload_batch import upload_batch
from tests.integration.adapters.stack import REGION, TABLE, create_bucket, create_table
from tests.integration.moto_addresses import find_soon
from tests.integration.usecases.fuse import Fuse, FusedPort, FusedTransport, Stall
from tests.integration.usecases.roles import acting_as, keep_to_roles
from tests.integration.usecases.slice_driver import Crash, SliceDriver

STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
OPPORTUNITY = load_directory(ROOT / "loads")["opportunity"]
RUN = "run-1"
T = TypeVar("T")


@dataclass(frozen=True)
class WorldClock:
    """The org's clock as the use cases' clock."""

    clock: ManualClock

    def now(self) -> datetime:
        return self.clock.at(self.clock.seconds())


class KnownExecutions:
    """Executions run until a test says how they have ended."""

    def __init__(self) -> None:
        self._ended: dict[str, str] = {}

    def end(self, name: str, status: str = "ABORTED") -> None:
        self._ended[execution(name).arn] = status

    def ended_as(self, execution_arn: str) -> str | None:
        return self._ended.get(execution_arn)


def execution(name: str) -> ExecutionContext:
    return ExecutionContext(
        arn=f"arn:aws:states:{REGION}:123456789012:execution:load:{name}", name=name, started_at=STARTED_AT
    )


@cache
def _client(service: str) -> Any:
    """Made once, as making one takes longer than most tests; moto answers it in every world anew."""
    session: Any = boto3.session.Session("none", "none", region_name=REGION)
    client = session.client(service)
    keep_to_roles(client)
    return client


class World:
    """Everything around the use cases. Every task is a process of its own; ``fuse`` makes one of them crash.

    ``started_at`` is when the executions begin that are planned next.
    """

    def __init__(self, server: OrgServer, clock: ManualClock, load: Load) -> None:
        self.server = server
        self.clock = clock
        self.load = load
        self.loads: dict[str, Load] = {}
        self.sequences: dict[str, LoadSequence] = {}
        self._sequences_begun: dict[str, tuple[str, ...]] = {}
        self.started_at = STARTED_AT
        self.fuse = Fuse()
        self.stall = Stall()
        self.executions = KnownExecutions()
        self.dynamodb = _client("dynamodb")
        self.s3 = _client("s3")
        self.store = DynamoDbProgress(Table(self.dynamodb, create_table(self.dynamodb)), WorldClock(clock))
        self.files = S3Files(self.s3, create_bucket(self.s3))
        self._requests = RequestsTransport()
        self.transport: Transport = self._requests
        self.slices = SliceDriver(
            self.dynamodb, lambda: self.services, self.wait, self.fuse.count, WorldClock(clock).now
        )

    def close(self) -> None:
        self._requests.close()

    @property
    def services(self) -> SliceServices:
        """What a task works with in a new process: nothing is remembered, no session is kept."""
        secret = ClientSecret(login_url=self.server.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
        files = cast("Files", FusedPort(self.files, self.fuse, self.stall))
        return SliceServices(
            store=cast("ProgressStore", FusedPort(self.store, self.fuse, self.stall)),
            files=files,
            configs=RunConfigs(files),
            org=Org(Connection(secret, transport=FusedTransport(self.transport, self.fuse, self.stall))),
            clock=WorldClock(self.clock),
        )

    def wait(self, seconds: int) -> None:
        self.clock.move(seconds)

    # -- tasks of the load machine

    def plan_sweep(self, run_id: str = RUN) -> Sweep:
        with acting_as("PlanSweep"):
            return plan_sweep(run_id, self.services.store, self.services.files)

    def plan(self, start: Mapping[str, object], name: str = RUN, position: int = 0) -> Plan:
        """PlanRun until the plan is ready."""
        waits = PlanSoFar(position=position, sequence=self._sequences_begun.get(name, ()) if position else ())
        while (plan := self.plan_once(start, name, waits)).next == "Wait":
            self.wait(plan.wait_seconds)
            waits = PlanSoFar(**plan.model_dump())
        self._sequences_begun[name] = plan.sequence
        return plan

    def plan_once(self, start: Mapping[str, object], name: str = RUN, waits: PlanSoFar | None = None) -> Plan:
        services = PlanServices(
            tasks=self.services,
            executions=self.executions,
            load_named={self.load.name: self.load, **self.loads}.__getitem__,
            sequence_named=self.sequences.get,
        )
        begun = execution(name).model_copy(update={"started_at": self.started_at})
        task = PlanRunInput(execution=begun, input=dict(start), plan=waits or PlanSoFar())
        with acting_as("PlanRun"):
            return plan_run(task, services)

    def finish(self, state: Mapping[str, object], name: str = RUN, *, ended: str | None = None) -> Verdict:
        """FinishRun until no job is in flight."""
        while (verdict := self.finish_once(state, name, ended=ended)).next == "Drain":
            self.wait(verdict.wait_seconds)
        return verdict

    def finish_again(self, state: Mapping[str, object], name: str = RUN) -> Verdict:
        """The same, tried again after a crash."""
        return self._again(lambda: self.finish(state, name))

    def finish_once(self, state: Mapping[str, object], name: str = RUN, *, ended: str | None = None) -> Verdict:
        task = FinishRunInput(execution=execution(name), state=dict(state), ended=ended)
        with acting_as("FinishRun"):
            return finish_run(task, self.services)

    def execute(self, start: Mapping[str, object] | None = None, name: str = RUN) -> Verdict | None:
        """An execution of the load machine; None where it is skipped. Of a sequence, the last verdict."""
        given = dict(start or {"load": self.load.name})
        position = 0
        while (verdict := self.carry_out(given, name, position)) is not None and verdict.next == "More":
            position += 1
        return verdict

    def carry_out(self, given: Mapping[str, object], name: str, position: int) -> Verdict | None:
        """One load of an execution."""
        state = {**given, "plan": {"position": position, "sequence": self._sequences_begun.get(name, ())}}
        try:
            plan = self._again(lambda: self.plan(given, name, position))
            if plan.next == "Skip":
                self.executions.end(name, "SUCCEEDED")
                return None
            state["plan"] = plan.model_dump(mode="json")
            if plan.next == "Load":
                self._load_partitions(plan)
        except LoadError as error:
            state["error"] = {"Error": type(error).__name__, "Cause": json.dumps({"errorMessage": str(error)})}
        verdict = self.finish_again(state, name)
        if verdict.next != "More":
            self.executions.end(name, "SUCCEEDED" if verdict.next == "Succeed" else "FAILED")
        return verdict

    def go_on_after(self, plan: Plan, name: str = RUN) -> Verdict:
        """What an execution does once its plan is ready."""
        self._load_partitions(plan)
        return self.finish({"load": "", "plan": plan.model_dump(mode="json")}, name)

    def after(self, effects: int) -> None:
        """Crash after so many further side effects."""
        self.fuse.blows_after = self.fuse.effects + effects

    def abort(self, name: str = RUN, run_id: str = RUN) -> Verdict:
        """The execution ends where it is, and FinishRun hears of it."""
        self.executions.end(name)
        return self.finish({"input": {"run_id": run_id}}, name, ended="ABORTED")

    def _load_partitions(self, plan: Plan) -> None:
        for lane in plan.lanes:
            self.slices.run_lane(plan.run_id, lane.partition)
        sweep = self._again(lambda: self.plan_sweep(plan.run_id))
        if sweep.needed:
            self.slices.run_lane(plan.run_id, "sweep")

    def _again(self, task: Callable[[], T]) -> T:
        """As the machine's Retry does it."""
        for _ in range(3):
            with suppress(Crash, PassingError):
                return self.slices.repetition.run(task)
        return self.slices.repetition.run(task)

    def start_lane(self) -> SliceInput:
        """Plan the load and claim its first lane: what the slice's tasks are given."""
        self.plan({"load": self.load.name})
        return self.slices.claim(RUN, "0000")

    def fail_lane(self, partition: str) -> None:
        """What the load machine does once the lane's slices have failed."""
        self.dynamodb.update_item(
            TableName=TABLE,
            Key={"pk": {"S": f"RUN#{RUN}"}, "sk": {"S": f"PART#{partition}"}},
            UpdateExpression="SET #status = :failed",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":failed": {"S": PartitionStatus.FAILED}},
        )

    def until_its_job_has_ended(self, task: SliceInput) -> SliceInput:
        """Send the batch of a slice and wait for its job: what SettleBatch is given then."""
        uploaded = task.model_copy(update={"step": upload_batch(task, self.services)})
        self.wait(1000)
        return uploaded.model_copy(update={"step": check_job(uploaded, self.services)})

    def break_org(self, faults: str) -> None:
        """From now on these requests go wrong, and no others."""
        self.server.backend.faults = FaultPlan(Faults.parse(faults), 1, self.clock.seconds)

    def mend_org(self) -> None:
        """From now on no request goes wrong on purpose."""
        self.break_org("")

    # -- what there is

    def run(self, run_id: str = RUN) -> Run:
        run = self.store.run(run_id)
        assert run is not None
        return run

    def partition(self, partition: str = "0000") -> Partition:
        return self.store.partition(RUN, partition)

    def open_batch(self, partition: str = "0000") -> Batch:
        lane = self.partition(partition)
        assert lane.open_batch is not None
        return self.store.batch(lane, lane.open_batch)

    def keys_of(self, sql: str = "true") -> set[str]:
        """Keys of the source that fit a condition."""
        found = self.server.backend.datacloud.seed_keys(
            f'SELECT "ExternalId__c" FROM "Opportunity__dlm" WHERE "ExternalId__c" IS NOT NULL AND ({sql}) ORDER BY 1'
        )
        return set(found)

    @property
    def jobs(self) -> dict[str, int]:
        """How many jobs are in which state."""
        return dict(self.server.backend.ingest.states())

    @property
    def requests(self) -> Counter[str]:
        return self.server.backend.requests

    @property
    def loaded_keys(self) -> set[str]:
        return {str(row["External_ID__c"]) for row in self.server.backend.rows("Opportunity")}


@contextmanager
def open_world(
    *, source: Source | None = None, faults: str = "", load: Load = OPPORTUNITY, **settings: Any
) -> Iterator[World]:
    """A world whose org has 30 opportunities, none of which is refused, unless told otherwise."""
    hooks.install()  # DynamoDB as the embedded AWS has it
    find_soon()
    clock = ManualClock()
    held = source or generated_opportunities(30, rejected_share=0)
    with mock_aws(), OrgServer(OrgSettings(source=held, faults=Faults.parse(faults), **settings), clock) as server:
        world = World(server, clock, load)
        try:
            yield world
        finally:
            world.close()


def renamed(load: Load, field: str, spelling: str) -> Load:
    """A load that spells a target field in its own way."""
    document = load.model_dump(mode="json")
    for mapping in document["fields"].values():
        mapping["to"] = spelling if mapping["to"] == field else mapping["to"]
    return Load.model_validate(document)


def paced(load: Load = OPPORTUNITY, *, lanes: int = 1, by: Literal["key", "parent"] = "key", **pace: Any) -> Load:
    """A load with so many lanes, of keys, and without waits, unless told otherwise."""
    quick = {"stagger_seconds": 0, "delay_seconds": 0, "batch_rows": 10, "retry_delays_seconds": (2, 5, 10)}
    return load.with_overrides(
        pace=PaceOverrides.model_validate(quick | pace),
        partitioning=PartitioningOverrides(by=by, count=lanes),
        sample=None,
    )
