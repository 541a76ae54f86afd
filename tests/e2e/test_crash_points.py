"""Lambda functions die, lose their answers and live on beside their retries at any HTTP request, in real processes.

A first run without faults counts the requests of every invocation: to the org, to DynamoDB, to S3. Then the same load
is run once for each point, into an org that is new each time. `make test` tries some of the points, `make soak` all.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.aws.faults import (
    Call,
    Fault,
    FaultPlan,
    Invocation,
    Kill,
    LoseAnswer,
    Moment,
    Outlive,
    Point,
    Throttle,
    What,
)
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from local.org.sources import Source
from massive_upload.domain.progress import RunStatus
from tests.e2e.opportunities import expected_rejects, expected_rows, rejected_rows, target_rows
from tests.e2e.world import World, deployed
from tests.thoroughness import IS_SOAK, every

pytestmark = pytest.mark.timeout(0 if IS_SOAK else 900)
TIME_SCALE = 5_000.0
ROWS = 14
# The first batch's rows fail on locks in both of its attempts, so that a sweep is needed.
FAULTS = "".join(
    f"- match: {{object: Opportunity, nth: {nth}}}\n"
    "  action: {row_failures: {share: 0.6, code: UNABLE_TO_LOCK_ROW}}\n"
    for nth in (1, 2)
)
SETS = [
    "partitioning.count=1",
    "pace.batch_rows=7",
    "pace.delay_seconds=0",
    "pace.retry_delays_seconds=[2]",
    "success_criterion_percent=0",
]


@dataclass
class Stage:
    """A deployed stack and an org that is new for every run."""

    world: World
    org: OrgServer
    source: Source
    runs: int = 0

    def run(self, *faults: Fault) -> str:
        """A run into a new org, which comes to its end by itself: its id."""
        run_id = self.begin(*faults)
        result = self.world.run({"load": "opportunity"}, run_id)
        assert result.status == "SUCCEEDED", result
        return run_id

    def run_and_resume(self, fault: Fault) -> str:
        """A run whose execution is stopped, and what a person does about it at once: the id of what completed it."""
        run_id = self.begin(fault)
        self.world.run({"load": "opportunity"}, run_id)
        run = self.world.store.run(run_id)
        if run is not None and run.status is RunStatus.COMPLETED:  # it was stopped when all was done
            return run_id
        resumed = self.world.run({"mode": "resume", "run_id": run_id}, f"{run_id}-again")
        if resumed.error == "RunNotResumable":  # it was stopped before its plan counted
            run_id = f"{run_id}-anew"
            resumed = self.world.run({"load": "opportunity"}, run_id)
        assert resumed.status == "SUCCEEDED", resumed
        return run_id

    def begin(self, *faults: Fault) -> str:
        self.runs += 1
        self.org.renew()
        self.world.aws.faults = FaultPlan(*faults)
        return self.run_id

    @property
    def run_id(self) -> str:
        return f"run-{self.runs}"

    def assert_complete(self, run_id: str) -> None:
        """The target holds what it should, the rejected are kept, and the account says so."""
        assert target_rows(self.org.backend) == expected_rows(self.source)
        refused = expected_rejects(self.source)
        assert sorted(row["External_ID__c"] for row in rejected_rows(self.world, run_id)) == sorted(refused)
        account = self.world.receipt(run_id)["account"]
        counted = {name: rows for name, rows in account.items() if rows}
        assert counted == {"source_rows": ROWS, "succeeded": ROWS - len(refused), "rejected": len(refused)}
        for job in self.org.backend.ingest.jobs():
            assert job.state.is_terminal or (job.state == "Open" and job.content is None)

    def invocations(self) -> tuple[Invocation, ...]:
        return self.world.aws.faults.invocations


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    source = generated_opportunities(ROWS, rejected_share=0.3)
    settings = OrgSettings(source=source, time_scale=TIME_SCALE, faults=Faults.parse(FAULTS))
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=SETS)}
    directory = tmp_path_factory.mktemp("crash-points")
    with (
        OrgServer(settings) as org,
        deployed(directory, loads=loads, org_url=org.url, time_scale=TIME_SCALE) as world,
    ):
        yield Stage(world, org, source)


@pytest.fixture(scope="module")
def undisturbed(stage: Stage) -> tuple[Invocation, ...]:
    """The invocations of a run in which nothing goes wrong; the first run of all also logs in."""
    for _ in range(2):
        stage.assert_complete(stage.run())
    return stage.invocations()


def points(undisturbed: tuple[Invocation, ...]) -> list[tuple[int, Point]]:
    """Every request of every invocation, before and after."""
    return [
        (nth, Point(request=request, moment=moment))
        for nth, invocation in enumerate(undisturbed, start=1)
        for request in range(1, invocation.requests + 1)
        for moment in Moment
    ]


def try_each(stage: Stage, faults: list[Fault]) -> None:
    """Runs the load once per fault; how often a job is polled depends on the machine, so some points are missed."""
    struck = 0
    for fault in faults:
        run_id = stage.run(fault)
        struck += len(stage.world.aws.faults.struck)
        stage.world.aws.wake_outlived()
        stage.assert_complete(run_id)
    assert struck > len(faults) / 2


def test_functions_that_die_before_and_after_their_requests(stage, undisturbed):
    found = points(undisturbed)
    assert len(found) > 250
    try_each(stage, [Fault(nth=nth, what=Kill(point)) for nth, point in every(101, found)])


@pytest.mark.parametrize("what", [LoseAnswer(), Throttle()], ids=["lost", "throttled"])
def test_functions_whose_answers_are_lost_or_that_are_throttled(stage, undisturbed, what: What):
    try_each(stage, [Fault(nth=nth, what=what) for nth in every(31, range(1, len(undisturbed) + 1))])


@pytest.mark.parametrize(
    "wakes_after", [pytest.param(1, marks=pytest.mark.soak), 4, pytest.param(1000, marks=pytest.mark.soak)]
)
def test_functions_that_live_on_beside_their_retries(stage, undisturbed, wakes_after: int):
    found = [(nth, point) for nth, point in points(undisturbed) if point.moment is Moment.BEFORE]
    chosen = every(61, found, offset=wakes_after % 61)  # other points for each delay
    try_each(stage, [Fault(nth=nth, what=Outlive(point, wakes_after)) for nth, point in chosen])


def test_executions_that_are_stopped_while_a_function_goes_on(stage, undisturbed):
    """FinishRun, which an event calls, and the resume that a person starts at once meet each other."""
    machine = stage.world.outputs["LoadMachineArn"].replace(":stateMachine:", ":execution:")
    struck, found = 0, every(103, points(undisturbed))
    for nth, point in found:
        stop = Call(point, lambda: stage.world.aws.stop_execution(f"{machine}:{stage.run_id}"))
        run_id = stage.run_and_resume(Fault(nth=nth, what=stop))
        struck += len(stage.world.aws.faults.struck)
        stage.assert_complete(run_id)
    assert struck > len(found) / 2
