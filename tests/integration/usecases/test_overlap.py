"""While a job is in flight its lane stages the rows that come after it, and nothing more."""

from dataclasses import replace

import pytest

from local.org import generated_opportunities
from massive_upload.contracts import Next, SliceInput
from massive_upload.domain.progress import BatchState, Halt
from massive_upload.domain.waits import first_poll_seconds
from massive_upload.usecases.check_job import check_job
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.settle_batch import settle_batch
from massive_upload.usecases.slice_tasks import SliceWork
from massive_upload.usecases.upload_batch import upload_batch
from tests.integration.usecases.kept_rows import account_of
from tests.integration.usecases.world import RUN, World, WorldClock, open_world, paced


def through(world: World, task: SliceInput, *tasks: SliceWork) -> SliceInput:
    """A slice's payload after some of its tasks."""
    for work in tasks:
        task = task.model_copy(update={"step": work(task, world.services)})
    return task


def test_the_next_rows_are_staged_while_a_job_is_in_flight_and_no_job_is_made_of_them():
    with open_world(load=paced()) as world:
        task = through(world, world.start_lane(), fetch_page, upload_batch)
        lane = world.partition()
        assert (task.step.next, task.step.job_id) == (Next.WAIT_FOR_JOB, world.open_batch().job_id)
        assert (lane.open_batch, lane.ahead_batch, lane.next_batch) == (0, 1, 2)
        ahead = world.store.batch(lane, 1)
        assert (ahead.state, ahead.rows, ahead.next_cursor) == (BatchState.PLANNED, 10, "OPP-0000020")
        assert sum(world.jobs.values()) == 1
        assert upload_batch(task, world.services).next is Next.WAIT_FOR_JOB
        assert world.partition().next_batch == 2, "there is one batch ahead at most"


def test_rows_that_are_sent_again_have_the_batch_ahead_that_there_is():
    lock = "{row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}"
    with open_world(load=paced(), faults=f"- match: {{object: Opportunity, nth: 1}}\n  action: {lock}") as world:
        task = world.until_its_job_has_ended(through(world, world.start_lane(), fetch_page))
        task = through(world, task, settle_batch)
        assert task.step.next is Next.BACK_OFF
        read = world.requests["query"]
        through(world, task, fetch_page, upload_batch)
        lane = world.partition()
        assert (lane.open_batch, lane.ahead_batch, lane.next_batch) == (0, 1, 2)
        assert world.open_batch().state is BatchState.SUBMITTED
        assert world.requests["query"] == read


class SlowFiles:
    """Files whose writing takes so long."""

    def __init__(self, world: World, seconds: int) -> None:
        self._world = world
        self._seconds = seconds
        self.read = world.files.read

    def write(self, key: str, content: bytes, *, content_type: str = "text/csv") -> None:
        self._world.wait(self._seconds)
        self._world.files.write(key, content, content_type=content_type)


@pytest.mark.parametrize(("seconds", "left"), [(3, 9), (20, 1)])
def test_the_time_that_staging_takes_is_taken_off_the_wait_for_the_job(seconds, left):
    source = generated_opportunities(4_000, rejected_share=0)
    with open_world(source=source, load=paced(batch_rows=2_000), row_ms=5) as world:
        task = through(world, world.start_lane(), fetch_page)
        slow = replace(world.services, files=SlowFiles(world, seconds))
        task = task.model_copy(update={"step": upload_batch(task, slow)})
        assert (task.step.wait_seconds, task.step.job_waited_seconds) == (left, 12 - left)
        world.wait(task.step.wait_seconds)
        assert world.partition().next_wake_at == WorldClock(world.clock).now(), "the watchdog allows for the wait"
        step = check_job(task, world.services)
        assert step.next is Next.SETTLE
        assert step.job is not None
        assert step.job.seconds == pytest.approx(11, abs=1), "as long as it took, and not as long as was waited"


def test_the_rest_of_a_job_is_foreseen_from_all_the_time_that_its_rows_have_taken_the_org():
    times = "{totalProcessingTime: 6000, apiActiveProcessingTime: 4000}"
    faults = f"- match: {{object: Opportunity}}\n  action: {{job_reports: {times}}}"
    source = generated_opportunities(2_000, rejected_share=0)
    with open_world(source=source, load=paced(batch_rows=2_000), row_ms=30, faults=faults) as world:
        task = through(world, world.start_lane(), fetch_page, upload_batch)
        world.wait(task.step.wait_seconds)
        step = check_job(task, world.services)
        assert (step.next, step.job_processed) == (Next.WAIT_FOR_JOB, 200)
        assert step.wait_seconds == 27 + 1, "6 s for 200 rows that are counted, and nearly as many that are not yet"


@pytest.mark.parametrize(
    ("state", "last_tasks", "wait_seconds"),
    [
        ("InProgress", [upload_batch], 6),
        ("UploadComplete", [upload_batch], 60),
        ("InProgress", [upload_batch, upload_batch], 60),
    ],
    ids=["in progress", "in the queue", "adopted, nobody knows since when it runs"],
)
def test_a_job_that_the_org_works_on_without_a_word_is_expected_any_moment(state, last_tasks, wait_seconds):
    """A lane's second job, which was to take as long as its first one; in the queue it would be given as long again."""
    reports = f"{{numberRecordsProcessed: 0, state: {state}}}"
    faults = f"- match: {{object: Opportunity, nth: 2}}\n  action: {{job_reports: {reports}}}"
    source = generated_opportunities(4_000, rejected_share=0)
    with open_world(source=source, load=paced(batch_rows=2_000), row_ms=30, faults=faults) as world:
        task = world.until_its_job_has_ended(through(world, world.start_lane(), fetch_page))
        task = through(world, task, settle_batch, *last_tasks)
        world.wait(task.step.wait_seconds)
        assert world.partition().job_seconds == pytest.approx(60, abs=3)
        step = check_job(task, world.services)
        assert (step.next, step.job_processed) == (Next.WAIT_FOR_JOB, 0)
        assert step.wait_seconds == pytest.approx(wait_seconds, abs=3)


def test_a_clock_that_is_set_back_while_rows_are_staged_makes_no_wait_longer():
    with open_world(load=paced()) as world:
        task = through(world, world.start_lane(), fetch_page)
        step = upload_batch(task, replace(world.services, files=SlowFiles(world, -5)))
        foreseen_seconds = first_poll_seconds(10, None, None)
        assert (step.next, step.wait_seconds) == (Next.WAIT_FOR_JOB, foreseen_seconds)
        assert step.job_waited_seconds == 0


def test_what_is_staged_ahead_is_sent_as_soon_as_the_job_before_it_is_settled():
    with open_world(load=paced()) as world:
        world.plan({"load": "opportunity"})
        world.slices.run_slice(RUN, "0000")
        lane = world.partition()
        assert (lane.batches, lane.settled_rows, lane.open_batch, lane.ahead_batch) == (3, 30, None, None)
        rounds = world.slices.visited
        assert [name for name in rounds if name in ("UploadBatch", "Pace")] == ["UploadBatch"] * 3
        assert rounds.count("FetchPage") == 1, "for the first rows alone"


@pytest.mark.parametrize("halt", Halt)
def test_a_stop_or_pause_is_seen_before_what_is_staged_ahead_is_sent(halt):
    with open_world(load=paced()) as world:
        task = through(world, world.start_lane(), fetch_page, upload_batch)
        world.wait(task.step.wait_seconds)
        task = through(world, task, check_job)
        world.store.ask_to_halt(RUN, halt)
        settled = settle_batch(task, world.services)
        assert settled.next is Next.FETCH
        assert fetch_page(task.model_copy(update={"step": settled}), world.services).next is Next.DONE
        assert sum(world.jobs.values()) == 1
        verdict = world.finish({"input": {"run_id": RUN}}, RUN)
        account = account_of(verdict)
        assert account.balances
        assert (account.succeeded, account.not_sent) == (10, 20)
        resumed = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert resumed is not None
        assert (resumed.status, resumed.succeeded) == ("Completed", 30)
        assert world.partition().batches == 3, "the rows staged ahead were not read again"


def test_a_settling_that_is_repeated_late_does_not_take_the_next_job_for_the_one_that_has_ended():
    with open_world(load=paced()) as world:
        task = through(world, world.start_lane(), fetch_page, upload_batch)
        world.wait(task.step.wait_seconds)
        ended = through(world, task, check_job)
        through(world, ended, settle_batch, upload_batch)
        assert settle_batch(ended, world.services).next is Next.FETCH
        lane = world.partition()
        assert (lane.settled_rows, lane.open_batch) == (10, 1)
        assert world.open_batch().state is BatchState.SUBMITTED
