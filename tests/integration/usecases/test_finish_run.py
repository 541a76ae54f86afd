"""FinishRun: jobs in flight, the account, and that it may be called by anybody at any time."""

import json

import pytest

from massive_upload.constants import ABORTED_JOB_SECONDS
from massive_upload.contracts import Verdict
from massive_upload.domain.progress import BatchState, PartitionStatus, Run, RunStatus, partition_id
from massive_upload.errors import SalesforceUnavailable
from massive_upload.observability import Event
from massive_upload.ports import Heartbeat
from massive_upload.salesforce.transport import Request, Response, Transport
from massive_upload.usecases.drain import Drain
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.finish_run import finish_run
from massive_upload.usecases.upload_batch import upload_batch
from massive_upload.usecases.watch_runs import finish_request, watch_runs
from tests.integration.usecases.kept_rows import account_of, receipt, recorded_account
from tests.integration.usecases.slice_driver import Crash
from tests.integration.usecases.world import RUN, World, WorldClock, open_world, paced
from tests.thoroughness import every

START = {"load": "opportunity"}
RESUME = {"mode": "resume", "run_id": RUN}
_EFFECTS_UNTIL_THE_CLOSE = 4
"""A job is created, recorded, filled and closed."""
DEAF = "- match: {path: /jobs/ingest/}\n  action: {status: 503, code: SERVER_UNAVAILABLE}"
STUBBORN = "- match: {method: PATCH}\n  action: {status: 400, code: INVALIDJOBSTATE}"


NO_ANSWER_OF_THE_ORG = "- match: {path: /jobs/ingest/}\n  action: {status: 404, body: '%s'}"


def left_in_flight(world: World) -> None:
    """A lane left with a job that was submitted and not looked at."""
    world.plan(START)
    world.slices.run_slice(RUN, "0000", stop_before="CheckJob")


@pytest.mark.parametrize("seconds", [0, 1000])
def test_a_job_in_flight_is_aborted_or_settled_and_resume_sends_the_rest(seconds):
    with open_world(load=paced()) as world:
        left_in_flight(world)
        world.wait(seconds)
        verdict = world.abort()
        assert (verdict.next, verdict.status, verdict.error) == ("Fail", "Stopped", "ExecutionAborted")
        assert verdict.unsettled == 0
        assert verdict.succeeded == len(world.loaded_keys)
        assert recorded_account(world).balances
        assert set(world.jobs) <= {"JobComplete", "Aborted"}
        resumed = world.execute(RESUME, "again")
        assert resumed is not None
        assert (resumed.status, resumed.succeeded) == ("Completed", 30)
        assert world.loaded_keys == world.keys_of()


def test_an_error_of_every_row_that_is_found_at_the_end_is_what_the_run_ended_by():
    faults = (
        "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 1, code: STORAGE_LIMIT_EXCEEDED}}"
    )
    with open_world(load=paced(), faults=faults) as world:
        left_in_flight(world)
        world.wait(1000)
        verdict = world.abort()
        assert (verdict.status, verdict.error) == ("Failed", "RunHalted")
        assert (verdict.rejected, verdict.not_sent, verdict.unsettled) == (10, 20, 0)


def left_created(world: World) -> str:
    """A lane left with a job that is recorded, and that may or may not have its data: the job's id."""
    world.plan(START)
    world.break_org("- match: {method: PUT}\n  action: {reset: after}")
    world.slices.run_slice(RUN, "0000", stop_before="CheckPatience")
    world.mend_org()
    batch = world.open_batch()
    assert batch.state is BatchState.CREATED
    return batch.job_id or ""


@pytest.mark.parametrize("job", ["Open", "Aborted", "deleted"])
def test_a_job_that_was_created_and_not_closed_is_given_up_and_its_rows_are_not_sent(job):
    with open_world(load=paced()) as world:
        job_id = left_created(world)
        if job != "Open":
            world.server.backend.ingest.set_state(job_id, "Aborted")
        if job == "deleted":
            world.server.backend.ingest.delete(job_id)
        verdict = world.abort()
        assert (verdict.not_sent, verdict.unsettled) == (30, 0)
        assert (world.open_batch().state, world.open_batch().job_id) == (BatchState.PLANNED, None)
        assert "Open" not in world.jobs
        resumed = world.execute(RESUME, "again")
        assert resumed is not None
        assert (resumed.status, resumed.succeeded) == ("Completed", 30)
        assert world.loaded_keys == world.keys_of()


@pytest.mark.parametrize("seconds", [0, 1000])
def test_a_job_that_was_closed_while_the_next_rows_were_read_is_aborted_or_settled(seconds):
    with open_world(load=paced()) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        world.after(_EFFECTS_UNTIL_THE_CLOSE)
        with pytest.raises(Crash):
            upload_batch(task, world.services)
        assert (world.open_batch().state, world.jobs) == (BatchState.CREATED, {"UploadComplete": 1})
        world.wait(seconds)
        verdict = world.abort()
        assert (verdict.unsettled, verdict.succeeded) == (0, len(world.loaded_keys))
        assert world.jobs == ({"JobComplete": 1} if seconds else {"Aborted": 1})
        assert recorded_account(world).balances


def test_rows_of_a_job_that_may_have_got_its_data_are_unsettled_while_the_org_cannot_be_reached():
    with open_world(load=paced()) as world:
        left_created(world)
        world.break_org(DEAF)
        verdict = world.abort()
        assert (verdict.unsettled, verdict.not_sent, verdict.succeeded) == (10, 20, 0)
        assert world.open_batch().state is BatchState.CREATED
        assert recorded_account(world).balances
        world.mend_org()
        resumed = world.execute(RESUME, "again")
        assert resumed is not None
        assert (resumed.succeeded, resumed.unsettled) == (30, 0)


def test_rows_of_an_org_that_cannot_be_reached_at_the_end_are_unsettled_until_resume():
    with open_world(load=paced()) as world:
        left_in_flight(world)
        world.wait(1000)
        world.break_org(DEAF)
        verdict = world.abort()
        assert (verdict.next, verdict.unsettled, verdict.not_sent) == ("Fail", 10, 20)
        assert recorded_account(world).balances
        world.mend_org()
        resumed = world.execute(RESUME, "again")
        assert resumed is not None
        assert (resumed.succeeded, resumed.unsettled) == (30, 0)
        assert world.jobs == {"JobComplete": 3}, "no row was sent twice"


@pytest.mark.parametrize("body", ["<html>URL No Longer Exists</html>", '{"error": "not_found"}'])
@pytest.mark.parametrize("seconds", [0, 1000])
def test_a_job_is_not_gone_because_something_in_between_says_so(seconds, body):
    with open_world(load=paced()) as world:
        left_in_flight(world)
        world.wait(seconds)
        world.break_org(NO_ANSWER_OF_THE_ORG % body)
        verdict = world.abort()
        assert (verdict.next, verdict.unsettled, verdict.not_sent) == ("Fail", 10, 20)
        assert recorded_account(world).balances
        world.mend_org()
        resumed = world.execute(RESUME, "again")
        assert resumed is not None
        assert (resumed.succeeded, resumed.unsettled) == (30, 0)
        assert world.jobs == {"JobComplete": 3}, "no row was sent twice"


def test_finishing_again_changes_nothing_and_says_the_same():
    with open_world(load=paced()) as world:
        first = world.execute()
        run, partitions = world.run(), world.store.partitions(RUN)
        assert world.finish({}) == first
        assert world.finish({}, ended="FAILED") == first
        assert (world.run(), world.store.partitions(RUN)) == (run, partitions)


def test_an_execution_that_does_not_carry_out_the_run_changes_nothing():
    with open_world(load=paced()) as world:
        left_in_flight(world)
        before = (world.run(), world.store.partitions(RUN), world.jobs)
        verdict = world.finish({"input": {"run_id": RUN}}, "foreign", ended="ABORTED")
        assert (verdict.next, verdict.source_rows) == ("Succeed", 0)
        assert (world.run(), world.store.partitions(RUN), world.jobs) == before
        assert world.store.lease(world.run().lease_key or "") is not None


def test_the_error_of_the_machine_is_the_runs():
    with open_world(load=paced()) as world:
        world.plan(START)
        cause = json.dumps({"errorMessage": "The message.", "stackTrace": ["..."]})
        verdict = world.finish({"error": {"Error": "States.Timeout", "Cause": cause}})
        assert (verdict.next, verdict.error, verdict.cause) == ("Fail", "States.Timeout", "The message.")
        assert (world.run().status, world.run().cause) == (RunStatus.FAILED, "The message.")


@pytest.mark.parametrize(
    ("ended", "status", "error"),
    [
        ("ABORTED", RunStatus.STOPPED, "ExecutionAborted"),
        ("TIMED_OUT", RunStatus.FAILED, "ExecutionTimedOut"),
        ("FAILED", RunStatus.FAILED, "ExecutionFailed"),
    ],
)
def test_an_execution_that_ended_by_itself_says_how_to_go_on(ended, status, error):
    with open_world(load=paced()) as world:
        world.plan(START)
        verdict = world.finish({}, ended=ended)
        assert (verdict.status, verdict.error) == (status, error)
        assert f'"run_id": "{RUN}"' in verdict.cause


def test_too_few_successes_fail_the_execution_but_complete_the_run():
    faults = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 1, code: STRING_TOO_LONG}}"
    with open_world(load=paced(), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.next, verdict.status, verdict.error) == ("Fail", "Completed", "SuccessRateBelowCriterion")
        assert "66.67 %" in verdict.cause


def test_the_watchdog_finishes_runs_whose_execution_ended_and_counts_lanes_that_stand_still():
    with open_world(load=paced()) as world:
        task = world.start_lane()
        world.store.record_heartbeat(world.partition(), Heartbeat(wake_after_seconds=3600))
        asked: list[tuple[str, str]] = []

        def look() -> tuple[int, int]:
            report = watch_runs(
                world.store,
                world.executions,
                WorldClock(world.clock),
                lambda run, ended: asked.append((run.run_id, ended)),
            )
            assert report.open_runs == 1
            return report.finished_runs, report.stuck_partitions

        assert task.step.epoch == 1
        assert look() == (0, 0)
        world.wait(3600 + 1800)
        assert look() == (0, 0)
        world.wait(1)
        assert look() == (0, 1)
        assert asked == []
        world.executions.end(RUN, "TIMED_OUT")
        assert look() == (1, 0)
        assert asked == [(RUN, "TIMED_OUT")]


NEVER_ENDING = pytest.mark.parametrize("faults", [DEAF, STUBBORN], ids=["deaf", "stubborn"])
MOST_CALLS = 11
"""Ten that find jobs in flight, and one that ends the run."""


def assert_ended_unsettled(world: World) -> None:
    run = world.run()
    assert run.status is RunStatus.STOPPED
    held = world.store.lease(run.lease_key or "")
    assert held is not None, "so that the next run knows of the job that is left"
    assert held.run_id == RUN
    assert world.store.open_runs() == []
    assert (recorded_account(world).unsettled, recorded_account(world).not_sent) == (10, 20)
    assert recorded_account(world).balances


@NEVER_ENDING
def test_a_run_comes_to_an_end_although_its_job_does_not(faults):
    with open_world(load=paced(), queue_seconds=1e9) as world:
        left_in_flight(world)
        world.break_org(faults)
        verdicts: list[Verdict] = []
        while len(verdicts) < MOST_CALLS:
            verdicts.append(world.finish_once({}, ended="ABORTED"))
        assert [verdict.next for verdict in verdicts] == ["Drain"] * (MOST_CALLS - 1) + ["Fail"]
        assert verdicts[-1].unsettled == 10
        assert_ended_unsettled(world)


class CountingTransport:
    """Counts what is sent to the org."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.requests = 0

    def send(self, request: Request) -> Response:
        self.requests += 1
        return self._transport.send(request)


def test_the_requests_of_every_wait_for_a_job_are_counted():
    """Each call of FinishRun may have a process of its own, which knows nothing of the requests of the one before."""
    with open_world(load=paced(), queue_seconds=1e9) as world:
        world.transport = sent = CountingTransport(world.transport)
        left_in_flight(world)
        world.break_org(STUBBORN)
        world.finish({}, ended="ABORTED")
        counted = world.run().api_requests + sum(each.api_requests for each in world.store.partitions(RUN))
        assert counted == sent.requests > MOST_CALLS


class DeafTransport:
    """The org hears some requests, and nothing is heard of it; the others are answered."""

    def __init__(self, transport: Transport, hears: str) -> None:
        self._transport = transport
        self._hears = hears
        self.asked: list[str] = []

    def send(self, request: Request) -> Response:
        if self._hears not in request.url:
            return self._transport.send(request)
        self.asked.append(request.url)
        raise SalesforceUnavailable(f"{request.asked}: no answer.", answered=False)


def with_jobs(world: World, lanes: int) -> list[str]:
    """Lanes that are left with a job each: the ids of these."""
    world.plan(START)
    for lane in range(lanes):
        world.slices.run_slice(RUN, partition_id(lane), stop_before="CheckJob")
    return [world.open_batch(partition_id(lane)).job_id or "" for lane in range(lanes)]


def test_an_org_that_does_not_answer_is_asked_five_times_a_look_and_each_time_for_other_lanes_first():
    """Twenty lanes that wait for two minutes each are more than FinishRun has."""
    with open_world(load=paced(lanes=7, batch_rows=2), queue_seconds=1e9) as world:
        jobs = with_jobs(world, 7)
        answering, world.transport = world.transport, (deaf := DeafTransport(world.transport, "/jobs/ingest/"))
        for _ in range(2):
            assert world.finish_once({}, ended="ABORTED").next == "Drain"
        assert [url.rpartition("/")[2] for url in deaf.asked] == [*jobs[:5], *jobs[5:], *jobs[:3]]
        assert {partition.status for partition in world.store.partitions(RUN)} == {PartitionStatus.STOPPED}
        world.transport = answering
        while (verdict := world.finish_once({}, ended="ABORTED")).next == "Drain":
            world.wait(ABORTED_JOB_SECONDS)  # as the watchdog does, so that the last ones to be aborted end in time
        assert (verdict.status, verdict.unsettled, verdict.not_sent) == ("Stopped", 0, 30)
        assert set(world.jobs) == {"Aborted"}


def test_a_job_whose_results_are_never_answered_leaves_those_of_the_other_lanes_alone():
    rejected = "- match: {object: Opportunity}\n  action: {row_failures: {share: 0.5, code: STRING_TOO_LONG}}"
    with open_world(load=paced(lanes=3), faults=rejected) as world:
        first, *_ = with_jobs(world, 3)
        world.wait(1000)
        world.transport = DeafTransport(world.transport, f"{first}/failedResults")
        verdict = world.finish({}, ended="ABORTED")
        assert (verdict.unsettled, verdict.succeeded + verdict.rejected) == (10, 20)
        world.executions.end(RUN)
        assert world.plan(START, "next").next == "Load"


@NEVER_ENDING
def test_the_watchdog_brings_a_run_to_an_end_although_its_job_does_not(faults):
    """It calls FinishRun for the execution as it found it, and hears no answer."""
    with open_world(load=paced(), queue_seconds=1e9) as world:
        left_in_flight(world)
        world.break_org(faults)
        world.executions.end(RUN)
        clock = WorldClock(world.clock)

        def finish(run: Run, ended: str) -> None:
            finish_run(finish_request(run, ended), world.services)

        calls = 0
        while watch_runs(world.store, world.executions, clock, finish).finished_runs:
            calls += 1
            assert calls <= MOST_CALLS
            world.wait(300)
        assert calls == MOST_CALLS
        assert_ended_unsettled(world)


def test_a_run_that_is_resumed_may_wait_for_its_jobs_anew():
    with open_world(load=paced(), queue_seconds=1e9) as world:
        left_in_flight(world)
        world.break_org(DEAF)
        world.abort()
        world.mend_org()
        world.plan(RESUME, "again")
        world.break_org(DEAF)
        assert world.finish_once({"run_id": RUN}, "again", ended="ABORTED").next == "Drain"


@pytest.mark.parametrize("calls", every(3, range(1, 20)))
def test_of_two_finish_runs_at_once_the_one_that_ends_the_run_is_told_and_has_the_receipt(calls, caplog):
    """An execution is aborted while its own FinishRun is at work; FinishRun hears of that and is the faster one."""
    with open_world(load=paced(lanes=2)) as world:
        world.plan(START)
        world.slices.run_lane(RUN, "0000")
        by_event: list[Verdict] = []
        world.stall.holds = world.stall.calls + calls
        world.stall.happening = lambda: by_event.append(world.abort())
        timed_out = {"error": {"Error": "States.Timeout", "Cause": "The lanes took too long."}}
        verdict = world.finish({"load": "opportunity", "plan": {"run_id": RUN}, **timed_out})
        run, kept = world.run(), receipt(world)
        assert by_event in ([], [verdict])
        assert (kept["status"], kept["error"]) == (run.status, run.error) == (verdict.status, verdict.error)
        assert (kept["ended_at"], recorded_account(world)) == (str(run.ended_at).replace(" ", "T"), account_of(verdict))
        assert [record.msg for record in caplog.records].count(Event.RUN_ENDED) == 1


@pytest.mark.parametrize("calls", every(3, range(1, 20)))
def test_the_receipt_is_of_the_end_that_counts_although_the_slower_one_dies_with_its_own_written(calls):
    with open_world(load=paced(lanes=2)) as world:
        world.plan(START)
        world.slices.run_lane(RUN, "0000")
        world.stall.holds = world.stall.calls + calls

        def be_faster() -> None:
            world.abort()
            world.after(1)

        world.stall.happening = be_faster
        timed_out = {"error": {"Error": "States.Timeout", "Cause": "The lanes took too long."}}
        verdict = world.finish_again({"load": "opportunity", "plan": {"run_id": RUN}, **timed_out})
        run, kept = world.run(), receipt(world)
        assert (kept["status"], kept["error"]) == (run.status, run.error) == (verdict.status, verdict.error)


@pytest.mark.parametrize("calls", every(3, range(1, 24)))
def test_the_receipt_tells_what_a_slower_finish_run_has_settled_since_the_faster_one_read_it(calls):
    """The job that neither could end at first is aborted by the slower one while the faster one writes its receipt."""
    with open_world(load=paced(), queue_seconds=1e9) as world:
        left_in_flight(world)
        world.break_org(STUBBORN)
        for _ in range(MOST_CALLS - 1):
            assert world.finish_once({}, ended="ABORTED").next == "Drain"

        def settle() -> None:
            world.mend_org()
            for _ in range(2):
                Drain(world.run(), world.services).end_lane(world.partition())
                world.wait(ABORTED_JOB_SECONDS)

        world.stall.holds = world.stall.calls + calls
        world.stall.happening = settle
        world.finish_once({}, ended="ABORTED")
        slower = world.finish_once({}, ended="ABORTED")
        assert (recorded_account(world), recorded_account(world).unsettled) == (account_of(slower), 0)
