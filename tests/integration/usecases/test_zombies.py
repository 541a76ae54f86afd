"""A task is left for dead before any of its calls, lives on while the lane ends without it, and then wakes up.

It changes nothing: not a row, not an item of the table, not a file that is there. A job that it creates stays Open and
empty, and a file that it writes is named nowhere.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from local.org.jobs import Job
from massive_upload.constants import SWEEP_PARTITION
from massive_upload.contracts import FinishRunInput, Next, SliceInput
from massive_upload.domain.progress import PartitionStatus, RunStatus
from massive_upload.errors import FencedOut, StateChanged
from massive_upload.ports import Files, ProgressStore
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.finish_run import finish_run
from massive_upload.usecases.plan_sweep import plan_sweep
from massive_upload.usecases.settle_batch import settle_batch
from tests.integration.adapters.stack import BUCKET, TABLE
from tests.integration.usecases.kept_rows import receipt, recorded_account
from tests.integration.usecases.troubled import assert_complete, troubled_world
from tests.integration.usecases.world import RUN, World, execution, open_world, paced
from tests.thoroughness import every

pytestmark = pytest.mark.timeout(900)
LANE = "0000"


class Overtaken(BaseException):
    """The task that was left for dead has ended; nobody hears its answer."""


@dataclass(frozen=True)
class Trace:
    """All that a zombie could change."""

    target: str
    items: list[str]
    files: Mapping[str, bytes]
    jobs: Mapping[str, tuple[str, bytes | None]]


def trace_of(world: World, file_keys: Iterable[str]) -> Trace:
    items = world.dynamodb.scan(TableName=TABLE, ConsistentRead=True)["Items"]
    return Trace(
        target=world.server.backend.digest("Opportunity"),
        # What a task takes of the org's day and does not use comes back with the next look at it.
        items=sorted(str(item) for item in items if not item["pk"]["S"].startswith("ORG#")),
        files={key: world.files.read(key) for key in file_keys},
        jobs={job.id: (job.state, job.content) for job in world.server.backend.ingest.jobs() if not is_empty(job)},
    )


def file_keys(world: World) -> list[str]:
    return [entry["Key"] for entry in world.s3.list_objects_v2(Bucket=BUCKET, Prefix="runs/")["Contents"]]


def is_empty(job: Job) -> bool:
    return job.state == "Open" and job.content is None


def under_the_same_claim(world: World) -> None:
    """Step Functions has tried the task again, and the slice has gone on from there."""
    assert world.slices.at is not None
    world.slices.go_on(*world.slices.at)


def under_a_new_claim(world: World) -> None:
    """The slice was given up, and the next one has worked on the lane until its end."""
    world.slices.run_lane(RUN, LANE)


def run_zombie(world: World, calls: int, meanwhile: Callable[[World], None]) -> tuple[Trace, Trace]:
    """The lane with a zombie; everything else happens just before the last of so many calls.

    Returns:
        What there was when it woke up and when it had ended.
    """
    before: list[Trace] = []

    def happen() -> None:
        meanwhile(world)
        assert world.partition(LANE).status is PartitionStatus.COMPLETED
        world.slices.after_task = stop
        before.append(trace_of(world, file_keys(world)))

    def stop() -> None:
        raise Overtaken

    world.stall.holds = world.stall.calls + calls
    world.stall.happening = happen
    with pytest.raises(Overtaken):
        world.slices.run_slice(RUN, LANE)
    world.slices.after_task = lambda: None
    return before[0], trace_of(world, before[0].files)


def calls_of_a_lane() -> int:
    with troubled_world() as world:
        world.plan({"load": world.load.name})
        before = world.stall.calls
        world.slices.run_slice(RUN, LANE)
        return world.stall.calls - before


@pytest.mark.parametrize("meanwhile", [under_the_same_claim, under_a_new_claim])
def test_a_task_that_wakes_up_after_its_lane_has_ended_changes_nothing(meanwhile):
    for calls in every(37, range(1, calls_of_a_lane() + 1)):
        with troubled_world() as world:
            plan = world.plan({"load": world.load.name})
            woken, ended = run_zombie(world, calls, meanwhile)
            assert ended == woken
            world.go_on_after(plan)
            assert_complete(world)
            assert receipt(world)["status"] == "Completed"


LOCKED = "".join(
    f"- match: {{object: Opportunity, nth: {nth}}}\n"
    "  action: {row_failures: {share: 0.5, code: UNABLE_TO_LOCK_ROW}}\n"
    for nth in (1, 2)
)


class HeldFiles:
    """Files before one of which is written something else happens, once."""

    def __init__(self, files: Files, part_of_key: str, happening: Callable[[], object]) -> None:
        self._files = files
        self._part_of_key = part_of_key
        self._happening = happening
        self._has_happened = False
        self.written: list[str] = []

    def read(self, key: str) -> bytes:
        return self._files.read(key)

    def write(self, key: str, content: bytes, *, content_type: str = "text/csv") -> None:
        self.written.append(key)
        if self._part_of_key in key and not self._has_happened:
            self._has_happened = True
            self._happening()
        self._files.write(key, content, content_type=content_type)


class HeldStore:
    """A table before one of whose methods something else happens, the first time."""

    def __init__(self, store: ProgressStore, *, before: str, happening: Callable[[], object]) -> None:
        self._store = store
        self._before = before
        self._happening = happening

    def __getattr__(self, name: str) -> Any:
        if name == self._before:
            self._before = ""
            self._happening()
        return getattr(self._store, name)


def test_a_slice_that_wakes_up_after_its_run_was_resumed_does_not_change_the_rows_that_were_kept_since():
    """It gave up more rows than the run did in the end, as FinishRun plans one more attempt for them."""
    with open_world(faults=LOCKED, load=paced(batch_rows=30, retry_delays_seconds=())) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        task = world.until_its_job_has_ended(task)
        kept: dict[str, bytes] = {}

        def stop_and_resume() -> None:
            assert world.abort().not_sent
            world.plan({"mode": "resume", "run_id": RUN}, "again")
            world.slices.run_lane(RUN, LANE)
            (batch,) = world.store.batches(RUN, LANE)
            (file,) = batch.deferred_files
            kept[file.file_key] = world.files.read(file.file_key)

        held = HeldFiles(world.services.files, "/deferred/", stop_and_resume)
        with pytest.raises(FencedOut):
            settle_batch(task, replace(world.services, files=held))
        assert kept == {key: world.files.read(key) for key in kept}
        world.executions.end("again")
        verdict = world.execute({"mode": "resume", "run_id": RUN}, "once more")
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.source_rows) == ("Completed", 30, 30)


SOME_FOR_GOOD = LOCKED + (
    "- match: {object: Opportunity, nth: 1}\n"
    "  action: {row_failures: {share: 0.2, code: FIELD_CUSTOM_VALIDATION_EXCEPTION}}\n"
)


@pytest.mark.parametrize("kind", ["rejected", "deferred"])
def test_two_settlings_under_one_claim_never_write_the_same_file(kind):
    """A job that is being aborted may tell one of them of other rows than the other."""
    with open_world(faults=SOME_FOR_GOOD, load=paced(batch_rows=30, retry_delays_seconds=())) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        task = world.until_its_job_has_ended(task)
        held = HeldFiles(world.services.files, f"/{kind}/", lambda: settle_batch(task, world.services))
        with pytest.raises(FencedOut):
            settle_batch(task, replace(world.services, files=held))
        (batch,) = world.store.batches(RUN, LANE)
        kept = {*batch.rejected_files, *(file.file_key for file in batch.deferred_files)}
        assert any(f"/{kind}/" in key for key in kept)
        assert kept.isdisjoint(held.written)


def test_a_settling_that_wakes_up_after_its_run_was_resumed_does_not_complete_the_lane():
    """The resumed lane asks its source anew, which may have got more rows, so that it has yet to be read to its end."""
    with open_world(load=paced(batch_rows=30)) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        task = world.until_its_job_has_ended(task)
        resumed: list[SliceInput] = []

        def stop_and_resume() -> None:
            world.abort()
            world.plan({"mode": "resume", "run_id": RUN}, "again")
            resumed.append(world.slices.claim(RUN, LANE))

        held = HeldStore(world.services.store, before="partition", happening=stop_and_resume)
        with pytest.raises(FencedOut):
            settle_batch(task, replace(world.services, store=cast("ProgressStore", held)))
        assert world.partition(LANE).settled_rows == 30
        assert fetch_page(resumed[0], world.services).next is Next.DONE
        assert world.partition(LANE).status is PartitionStatus.COMPLETED


def test_a_plan_of_the_sweep_that_wakes_up_after_its_run_was_resumed_does_not_take_rows_from_the_sweep():
    """The resumed run's lanes have given up more rows since, so that the list it made is too short."""
    with open_world(faults=LOCKED, load=paced(lanes=2, batch_rows=30, retry_delays_seconds=())) as world:
        world.plan({"load": world.load.name})
        world.slices.run_lane(RUN, LANE)

        def stop_and_resume() -> None:
            world.abort()
            for lane in world.plan({"mode": "resume", "run_id": RUN}, "again").lanes:
                world.slices.run_lane(RUN, lane.partition)
            assert world.plan_sweep().needed

        held = HeldFiles(world.services.files, "/kept/", stop_and_resume)
        with pytest.raises(StateChanged):
            plan_sweep(RUN, world.services.store, held)
        world.slices.run_lane(RUN, SWEEP_PARTITION)
        verdict = world.finish({"plan": {"run_id": RUN}}, "again")
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert world.loaded_keys == world.keys_of()


def test_an_end_of_a_run_that_wakes_up_after_the_run_was_resumed_tells_nothing_of_it():
    with open_world(load=paced(lanes=2)) as world:
        world.plan({"load": world.load.name})
        world.slices.run_lane(RUN, LANE)
        world.executions.end(RUN)
        held = HeldStore(
            world.services.store,
            before="shown",
            happening=lambda: world.execute({"mode": "resume", "run_id": RUN}, "again"),
        )
        task = FinishRunInput(execution=execution(RUN), state={"input": {"run_id": RUN}}, ended="ABORTED")
        services = replace(world.services, store=cast("ProgressStore", held))
        verdict = finish_run(task, services)
        assert (verdict.next, verdict.source_rows) == ("Succeed", 0), "it has no run any more"
        assert world.run().status is RunStatus.COMPLETED
        assert receipt(world)["status"] == "Completed"
        assert recorded_account(world).succeeded == 30
