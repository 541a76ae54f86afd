"""A task that is called again goes on from what is recorded."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from local.org import generated_opportunities
from massive_upload.constants import ABORTED_JOB_SECONDS
from massive_upload.contracts import Next, SliceInput, Step
from massive_upload.domain.progress import BatchState, Lease
from massive_upload.errors import FencedOut, JobRejected
from massive_upload.ports import LaneView, ProgressStore
from massive_upload.usecases.check_job import check_job
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.lost_jobs import MOST_LOST_JOBS
from massive_upload.usecases.settle_batch import settle_batch
from massive_upload.usecases.upload_batch import upload_batch
from tests.integration.usecases.kept_rows import rejected_rows
from tests.integration.usecases.slice_driver import Crash
from tests.integration.usecases.world import RUN, World, open_world, paced


def after(task: SliceInput, step: Step) -> SliceInput:
    return task.model_copy(update={"step": step})


def fetched(world: World) -> SliceInput:
    """A lane whose first batch is staged."""
    task = world.start_lane()
    return after(task, fetch_page(task, world.services))


def crash(world: World, effects: int, task: Callable[[], Any]) -> None:
    world.after(effects)
    with pytest.raises(Crash):
        task()


def test_fetch_page_gives_back_the_open_batch_and_reads_nothing():
    with open_world(load=paced()) as world:
        task = world.start_lane()
        first = fetch_page(task, world.services)
        batch, read = world.open_batch(), dict(world.requests)
        again = fetch_page(task, world.services)
        assert first.next is again.next is Next.UPLOAD
        assert world.open_batch() == batch
        assert dict(world.requests) == read


@pytest.mark.parametrize("effects", [1, 2, 3])
def test_fetch_page_stages_the_same_rows_after_a_crash(effects):
    with open_world(load=paced()) as world:
        task = world.start_lane()
        crash(world, effects, lambda: fetch_page(task, world.services))
        world.wait(30)  # it may have died while it looked at the org's allowances
        assert fetch_page(task, world.services).next is Next.UPLOAD
        batch = world.open_batch()
        assert (batch.number, batch.rows, batch.next_cursor) == (0, 10, "OPP-0000010")
        assert world.partition().batches == 1


@pytest.mark.parametrize(
    ("effects", "states"),
    [
        (1, {"Open": 1, "UploadComplete": 1}),  # created and not recorded: harmless, as it stays empty
        (2, {"Aborted": 1, "UploadComplete": 1}),  # recorded and not uploaded
        (3, {"Aborted": 1, "UploadComplete": 1}),  # uploaded and not closed: nobody knows that it is uploaded
        (4, {"UploadComplete": 1}),  # closed and not recorded as such: adopted
        (5, {"UploadComplete": 1}),  # and the rows after it staged, but not recorded
        (6, {"UploadComplete": 1}),  # recorded as submitted, with the rows staged ahead
    ],
)
def test_upload_batch_goes_on_after_a_crash_and_never_uploads_twice_to_one_job(effects, states):
    with open_world(load=paced()) as world:
        task = fetched(world)
        crash(world, effects, lambda: upload_batch(task, world.services))
        step = upload_batch(task, world.services)
        assert step.next is Next.WAIT_FOR_JOB
        assert step.wait_seconds > 0
        assert world.jobs == states
        assert world.open_batch().state is BatchState.SUBMITTED
        assert world.partition().ahead_batch == 1
        assert world.partition().batches == 2


@pytest.mark.parametrize("seconds", [0, 1.01, 1000])
def test_a_job_that_was_closed_is_adopted_in_whatever_state_it_is(seconds):
    with open_world(load=paced()) as world:
        task = fetched(world)
        crash(world, 4, lambda: upload_batch(task, world.services))
        world.clock.move(seconds)
        upload_batch(task, world.services)
        assert world.open_batch().state is BatchState.SUBMITTED
        assert sum(world.jobs.values()) == 1


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_recorded_job_that_was_aborted_or_deleted_is_replaced(is_deleted):
    with open_world(load=paced()) as world:
        task = fetched(world)
        crash(world, 3, lambda: upload_batch(task, world.services))
        job_id = world.open_batch().job_id or ""
        world.server.backend.ingest.set_state(job_id, "Aborted")
        if is_deleted:
            world.server.backend.ingest.delete(job_id)
        upload_batch(task, world.services)
        assert world.jobs.get("UploadComplete") == 1
        assert world.open_batch().job_id != job_id
        assert world.partition().jobs == 2


@pytest.mark.parametrize("fault", ["PUT", "PATCH"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_upload_or_a_close_without_an_answer_loses_and_repeats_no_row(fault, moment):
    faults = f"- match: {{method: {fault}, nth: 1}}\n  action: {{reset: {moment}}}"
    with open_world(load=paced(), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.succeeded, verdict.source_rows) == (30, 30)
        assert world.loaded_keys == world.keys_of()
        assert world.jobs == ({"JobComplete": 3} if fault == "PATCH" else {"JobComplete": 3, "Aborted": 1})


def test_a_submitted_job_that_was_deleted_is_sent_again():
    with open_world(load=paced()) as world:
        task = fetched(world)
        step = upload_batch(task, world.services)
        world.wait(1000)
        world.server.backend.ingest.delete(world.open_batch().job_id or "")
        step = check_job(after(task, step), world.services)
        assert step.next is Next.FETCH
        batch = world.open_batch()
        assert (batch.state, batch.attempt, batch.lost_jobs, batch.rows) == (BatchState.PLANNED, 1, 1, 10)
        world.slices.run_lane(RUN, "0000")
        assert world.loaded_keys == world.keys_of()
        assert world.partition().succeeded == 30


def test_a_job_that_is_deleted_before_its_results_are_read_is_sent_again():
    refused = "{row_failures: {share: 0.5, code: STRING_TOO_LONG}}"
    faults = f"- match: {{object: Opportunity, nth: 1}}\n  action: {refused}"
    with open_world(load=paced(batch_rows=30), faults=faults) as world:
        ended = world.until_its_job_has_ended(fetched(world))
        assert (ended.step.next, ended.step.job is not None and bool(ended.step.job.failed)) == (Next.SETTLE, True)
        world.server.backend.ingest.delete(world.open_batch().job_id or "")
        assert settle_batch(ended, world.services).next is Next.BACK_OFF
        batch = world.open_batch()
        assert (batch.state, batch.attempt, batch.lost_jobs, batch.rows) == (BatchState.PLANNED, 1, 1, 30)
        assert (batch.succeeded, batch.rejected) == (0, 0)
        world.slices.run_lane(RUN, "0000")
        assert world.partition().succeeded == 30
        assert world.loaded_keys == world.keys_of()


def left_with_its_last_job_lost(world: World) -> SliceInput:
    """A lane whose first batch has lost one job more than is borne, of which nobody has heard yet."""
    task = fetched(world)
    for lost_jobs in range(MOST_LOST_JOBS + 1):
        task = after(task, upload_batch(task, world.services))
        world.wait(1000)
        world.server.backend.ingest.delete(world.open_batch().job_id or "")
        assert world.open_batch().lost_jobs == lost_jobs
        if lost_jobs < MOST_LOST_JOBS:
            check_job(task, world.services)
    return task


def assert_resume_loads_all(world: World) -> None:
    verdict = world.execute({"mode": "resume", "run_id": RUN}, "again")
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)
    assert world.loaded_keys == world.keys_of()


def test_jobs_that_are_deleted_again_and_again_end_the_lane_and_resume_sends_the_rows():
    with open_world(load=paced()) as world:
        task = left_with_its_last_job_lost(world)
        with pytest.raises(JobRejected, match="lost 6 jobs"):
            check_job(task, world.services)
        assert (world.open_batch().state, world.open_batch().lost_jobs) == (BatchState.PLANNED, 0)
        verdict = world.finish({})
        assert (verdict.not_sent, verdict.unsettled) == (30, 0)
        world.executions.end(RUN)
        assert_resume_loads_all(world)


def test_rows_whose_job_was_lost_have_been_tried_once_more_than_the_others():
    with open_world(source=generated_opportunities(30, rejected_share=1), load=paced()) as world:
        task = fetched(world)
        task = after(task, upload_batch(task, world.services))
        world.wait(1000)
        world.server.backend.ingest.delete(world.open_batch().job_id or "")
        check_job(task, world.services)
        world.slices.run_lane(RUN, "0000")
        world.finish({"load": "opportunity", "plan": {"run_id": RUN}})
        assert Counter(row["tries"] for row in rejected_rows(world)) == {"2": 10, "1": 20}


def test_a_task_that_dies_after_it_has_recorded_the_last_lost_job_lets_the_lane_go_on():
    with open_world(load=paced()) as world:
        task = left_with_its_last_job_lost(world)
        crash(world, 1, lambda: check_job(task, world.services))
        assert check_job(task, world.services).next is Next.FETCH
        world.slices.run_lane(RUN, "0000")
        assert world.loaded_keys == world.keys_of()


@pytest.mark.parametrize("is_crashed", [False, True])
def test_a_run_that_ends_does_not_wait_for_a_job_that_is_lost_once_too_often(is_crashed):
    with open_world(load=paced()) as world:
        left_with_its_last_job_lost(world)
        world.executions.end(RUN)
        if is_crashed:
            crash(world, 2, lambda: world.finish_once({}, ended="ABORTED"))
        verdict = world.finish_once({}, ended="ABORTED")
        assert (verdict.next, verdict.not_sent, verdict.unsettled) == ("Fail", 30, 0)
        assert_resume_loads_all(world)


def test_a_run_that_was_resumed_while_its_job_was_lost_once_too_often_can_be_resumed_again():
    with open_world(load=paced()) as world:
        left_with_its_last_job_lost(world)
        world.executions.end(RUN)
        first = world.execute({"mode": "resume", "run_id": RUN}, "first")
        assert first is not None
        assert (first.error, first.unsettled) == ("PartitionsFailed", 0)
        assert_resume_loads_all(world)


def test_a_lost_job_costs_no_retry():
    lock = "{row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}"
    faults = f"- match: {{object: Opportunity, nth: 2}}\n  action: {lock}"
    with open_world(load=paced(retry_delays_seconds=(7,), batch_rows=30), faults=faults) as world:
        task = fetched(world)
        uploaded = after(task, upload_batch(task, world.services))
        world.wait(1000)
        world.server.backend.ingest.delete(world.open_batch().job_id or "")
        check_job(uploaded, world.services)
        step = settle_batch(world.until_its_job_has_ended(task), world.services)
        assert (step.next, step.wait_seconds) == (Next.BACK_OFF, 7)


def test_settle_batch_that_is_repeated_says_what_it_said():
    with open_world(load=paced(batch_rows=30)) as world:
        task = world.until_its_job_has_ended(fetched(world))
        crash(world, 1, lambda: settle_batch(task, world.services))
        settled = world.partition()
        assert (settled.settled_rows, settled.open_batch) == (30, None)
        assert settle_batch(task, world.services).next is Next.FETCH
        assert fetch_page(task, world.services).next is Next.DONE
        assert world.partition().status == "Completed"


def test_check_job_sends_a_batch_without_a_job_back_and_one_that_is_settled_to_the_next_slice():
    with open_world(load=paced(batch_rows=30)) as world:
        task = fetched(world)
        assert check_job(task, world.services).next is Next.FETCH
        ended = world.until_its_job_has_ended(task)
        crash(world, 1, lambda: settle_batch(ended, world.services))
        assert check_job(task, world.services).next is Next.MORE


@pytest.mark.parametrize(("queue_seconds", "looks", "rows_left"), [(0.0, [30], 0), (1e9, [299, 1], 30)])
def test_check_job_settles_an_aborted_job_once_no_batch_of_it_can_go_on(queue_seconds, looks, rows_left):
    """A batch that had begun goes on to its end; of one that had not, nobody knows that for five minutes."""
    with open_world(load=paced(batch_rows=30), queue_seconds=queue_seconds, row_ms=1000.0) as world:
        task = fetched(world)
        task = after(task, upload_batch(task, world.services))
        world.wait(1)
        world.server.backend.ingest.set_state(world.open_batch().job_id or "", "Aborted")
        for wait_seconds in looks:
            step = check_job(task, world.services)
            assert (step.next, step.wait_seconds) == (Next.WAIT_FOR_JOB, ABORTED_JOB_SECONDS)
            world.wait(wait_seconds)
            task = after(task, step.model_copy(update={"wait_seconds": wait_seconds}))
        step = check_job(task, world.services)
        assert (step.next, step.job and step.job.processed) == (Next.SETTLE, 30 - rows_left)
        settle_batch(after(task, step), world.services)
        assert len(world.loaded_keys) == 30 - rows_left
        assert (world.partition().open_batch is None) == (rows_left == 0)


def test_check_job_takes_no_other_job_for_the_one_in_flight():
    """As where a payload is older than the batch's job, or tells of none."""
    lock = "{row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}"
    with open_world(load=paced(), faults=f"- match: {{object: Opportunity, nth: 1}}\n  action: {lock}") as world:
        first = world.until_its_job_has_ended(fetched(world))
        settle_batch(first, world.services)
        task = after(first, upload_batch(first, world.services))
        in_flight, jobs = world.open_batch(), world.jobs
        stale = first.step.job.job_id if first.step.job else ""
        assert in_flight.job_id != stale
        handed_on = check_job(after(task, task.step.model_copy(update={"job_id": stale})), world.services)
        assert handed_on.next is Next.SETTLE
        assert settle_batch(after(task, handed_on), world.services).next is Next.FETCH
        world.server.backend.ingest.delete(stale)
        for job_id in (stale, None):
            step = check_job(after(task, task.step.model_copy(update={"job_id": job_id})), world.services)
            assert step.next is Next.FETCH
        again = fetch_page(task, world.services)
        assert (again.next, again.job_id) == (Next.WAIT_FOR_JOB, in_flight.job_id)
        assert (world.open_batch(), sum(world.jobs.values())) == (in_flight, sum(jobs.values()) - 1)


def test_a_slice_that_finds_a_job_in_flight_hands_on_which_one():
    with open_world(load=paced()) as world:
        task = fetched(world)
        upload_batch(task, world.services)
        step = fetch_page(world.slices.claim(RUN, "0000"), world.services)
        assert (step.next, step.wait_seconds, step.job_id) == (Next.WAIT_FOR_JOB, 1, world.open_batch().job_id)


def by_another_slice(world: World, task: SliceInput) -> SliceInput:
    upload_batch(task, world.services)
    world.wait(100)
    task = world.slices.claim(RUN, "0000")
    return after(task, fetch_page(task, world.services))


def by_a_repeated_upload(world: World, task: SliceInput) -> SliceInput:
    upload_batch(task, world.services)
    world.wait(100)
    return after(task, upload_batch(task, world.services))


def by_an_upload_after_a_crash(world: World, task: SliceInput) -> SliceInput:
    crash(world, 4, lambda: upload_batch(task, world.services))
    assert world.jobs == {"UploadComplete": 1}
    world.wait(100)
    return after(task, upload_batch(task, world.services))


@pytest.mark.parametrize("found", [by_another_slice, by_a_repeated_upload, by_an_upload_after_a_crash])
@pytest.mark.parametrize("work_seconds", [1, 400])
def test_of_a_job_that_had_been_closed_before_it_was_waited_for_no_time_is_learnt(found, work_seconds):
    """Only the end of its time is waited for."""
    with open_world(load=paced(), queue_seconds=90.0, row_ms=100.0 * work_seconds) as world:
        task = found(world, fetched(world))
        while task.step.next is Next.WAIT_FOR_JOB:
            world.wait(task.step.wait_seconds)
            task = after(task, check_job(task, world.services))
        assert task.step.next is Next.SETTLE
        step = settle_batch(task, world.services)
        lane = world.partition()
        assert lane.settled_rows == 10
        assert (lane.job_seconds, lane.timed_jobs, lane.timed_seconds) == (None, 0, 0)
        task = world.until_its_job_has_ended(after(task, step))
        settle_batch(task, world.services)
        assert world.partition().timed_jobs == 1, "but of the next one"


def test_a_slice_that_was_overtaken_hands_on_a_job_that_has_ended_and_settles_nothing():
    with open_world(load=paced()) as world:
        task = fetched(world)
        task = after(task, upload_batch(task, world.services))
        world.wait(1000)
        world.slices.claim(RUN, "0000")
        before = (world.partition(), world.open_batch(), world.jobs)
        ended = check_job(task, world.services)
        assert ended.next is Next.SETTLE
        with pytest.raises(FencedOut):
            settle_batch(after(task, ended), world.services)
        assert (world.partition(), world.open_batch(), world.jobs) == before


@pytest.mark.parametrize("work", [fetch_page, upload_batch, check_job, settle_batch])
def test_a_slice_whose_partition_was_claimed_anew_does_nothing(work):
    with open_world(load=paced()) as world:
        task = fetched(world)
        world.slices.claim(RUN, "0000")
        before = (world.partition(), world.open_batch(), world.jobs)
        with pytest.raises(FencedOut):
            work(task, world.services)
        assert (world.partition(), world.open_batch(), world.jobs) == before


class TakenOver:
    """A store in which another run takes the target over once the lease was read so often."""

    def __init__(self, store: ProgressStore, reads: int) -> None:
        self._store = store
        self._reads = reads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def lease(self, key: str) -> Lease | None:
        return self._now(key, self._store.lease(key))

    def lane(self, *ids: str, lease_key: str, **others: Any) -> LaneView:
        view = self._store.lane(*ids, lease_key=lease_key, **others)
        return replace(view, lease=self._now(lease_key, view.lease))

    def _now(self, key: str, lease: Lease | None) -> Lease | None:
        self._reads -= 1
        return lease if self._reads >= 0 else Lease(key=key, run_id="rival", execution_arn="arn:rival")


@pytest.mark.parametrize(("reads", "jobs"), [(0, {}), (1, {"Open": 1})])
def test_a_run_that_lost_its_target_creates_and_closes_no_job(reads, jobs):
    with open_world(load=paced()) as world:
        task = fetched(world)
        store = cast("ProgressStore", TakenOver(world.services.store, reads))
        with pytest.raises(FencedOut, match="no longer holds the target"):
            upload_batch(task, replace(world.services, store=store))
        assert world.jobs == jobs
