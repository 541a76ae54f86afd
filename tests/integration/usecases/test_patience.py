"""Waiting: for an org that does not answer, and for a job that goes on for long."""

from datetime import timedelta

import pytest

from local.org import generated_opportunities
from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.contracts import CaughtError, CheckPatienceInput, Next, Step
from massive_upload.domain.progress import BatchState, Halt, PartitionStatus
from massive_upload.domain.waits import PATIENCE_EVENTS
from massive_upload.errors import BatchQuotaExhausted, SalesforceUnavailable
from massive_upload.observability import Event
from massive_upload.usecases.check_job import check_job
from massive_upload.usecases.check_patience import check_patience
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.upload_batch import upload_batch
from tests.integration.usecases.world import RUN, World, WorldClock, open_world, paced

SILENT = "{status: 503, code: SERVER_UNAVAILABLE}"


def test_an_org_that_stays_away_for_longer_than_the_loads_patience_ends_the_lane():
    with open_world(load=paced(patience_seconds=500)) as world:
        world.plan({"load": "opportunity"})
        world.break_org(f"- match: {{path: /jobs/ingest}}\n  action: {SILENT}")
        world.slices.run_lane(RUN, "0000")
        lane = world.partition()
        assert (lane.status, lane.error) == (PartitionStatus.FAILED, "OrgUnreachable")
        assert (lane.cause or "").startswith(
            "The lane has waited for 500 s, which is the load's patience. The last try said: "
        )
        assert "/jobs/ingest was answered with 503 SERVER_UNAVAILABLE." in (lane.cause or "")
        assert world.slices.visited.count("WaitForOrg") == 3, "60, 300 and what is left of 500 seconds"
        world.mend_org()
        resumed = world.abort()
        assert resumed.not_sent == 30
        verdict = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert verdict is not None
        assert verdict.succeeded == 30


def test_results_that_cannot_be_read_use_up_the_patience_although_the_jobs_state_can():
    refused = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 0.5, code: STRING_TOO_LONG}}\n"
    unreadable = f"- match: {{path: failedResults}}\n  action: {SILENT}"
    with open_world(load=paced(patience_seconds=500), faults=refused + unreadable) as world:
        world.plan({"load": "opportunity"})
        world.slices.most_states = 100
        world.slices.run_lane(RUN, "0000")
        lane = world.partition()
        assert (lane.status, lane.error) == (PartitionStatus.FAILED, "OrgUnreachable")
        assert world.slices.visited.count("CheckJob") > 3
        assert world.slices.visited.count("WaitForOrg") == 3
        assert world.open_batch().state is BatchState.SUBMITTED


def test_patience_begins_anew_once_the_lane_has_got_on():
    """Three outages of 60 s, one for each batch, and a patience of 100 s."""
    tries = [first + retry for first in (1, 6, 11) for retry in range(4)]
    outages = "\n".join(f"- match: {{method: PUT, nth: {number}}}\n  action: {SILENT}" for number in tries)
    with open_world(load=paced(patience_seconds=100), faults=outages) as world:
        verdict = world.execute()
        assert verdict is not None
        assert world.slices.visited.count("WaitForOrg") == 3
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)


def busy(*retry_after_seconds: int, times: int = 4) -> str:
    """The first upload, and the three retries of its task, find the org too busy; then those of the next one do."""
    return "\n".join(
        f"- match: {{method: PUT, nth: {first * times + nth}}}\n"
        f'  action: {{status: 429, code: X, headers: {{Retry-After: "{seconds}"}}}}'
        for first, seconds in enumerate(retry_after_seconds)
        for nth in range(1, times + 1)
    )


def note_org_waits(world: World) -> list[int]:
    """The seconds of each wait for the org, from now on."""
    waits: list[int] = []

    def on_wait(name: str, seconds: int) -> None:
        if name in ("WaitForOrg", "WaitLonger"):
            waits.append(seconds)

    world.slices.on_wait = on_wait
    return waits


@pytest.mark.parametrize(
    ("asked_seconds", "waited"),
    [
        (1, [60]),  # the usual wait is longer
        (90, [90]),
        (LONG_WAIT_SECONDS, [LONG_WAIT_SECONDS]),
        (1500, [LONG_WAIT_SECONDS, LONG_WAIT_SECONDS, 300]),
        (3000, [LONG_WAIT_SECONDS, LONG_WAIT_SECONDS, LONG_WAIT_SECONDS, 200]),  # as far as patience goes
        (10**400, [LONG_WAIT_SECONDS, LONG_WAIT_SECONDS, LONG_WAIT_SECONDS, 200]),
    ],
)
def test_a_pause_that_a_busy_org_asks_for_is_kept_in_steps_before_it_is_asked_again(asked_seconds, waited):
    with open_world(load=paced(batch_rows=30, patience_seconds=2000), faults=busy(asked_seconds)) as world:
        waits = note_org_waits(world)
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert waits == waited
        assert world.slices.visited.count("UploadBatch") == 2, "it is not asked in between"


def test_a_pause_that_was_asked_for_before_says_nothing_about_another_error():
    """A long pause first; then the org is away, and then it is busy and does not say for how long."""
    faults = busy(90) + "".join(
        f"\n- match: {{method: PUT, nth: {nth}}}\n  action: {{status: {503 if nth < 9 else 429}, code: X}}"
        for nth in range(5, 13)
    )
    with open_world(load=paced(batch_rows=30), faults=faults) as world:
        waits = note_org_waits(world)
        verdict = world.execute()
        assert verdict is not None
        assert verdict.succeeded == 30
        assert waits == [90, 300, 600], "as usual for a second and a third wait"
        assert world.partition().retry_after_seconds is None


def test_a_stop_is_seen_within_a_long_pause():
    with open_world(load=paced(batch_rows=30), faults=busy(5000)) as world:
        world.plan({"load": "opportunity"})

        def stop(name: str, _seconds: int) -> None:
            if name == "WaitLonger":
                world.store.ask_to_halt(RUN, Halt.STOP)

        world.slices.on_wait = stop
        world.slices.run_slice(RUN, "0000")
        assert world.partition().status is PartitionStatus.STOPPED
        assert world.partition().retry_after_seconds == 5000
        assert world.slices.visited.count("WaitLonger") == 1


def test_a_repeated_check_says_what_it_said():
    with open_world(load=paced(batch_rows=30), faults=busy(1500)) as world:
        world.plan({"load": "opportunity"})
        world.slices.run_slice(RUN, "0000", stop_before="CheckPatience")
        task = CheckPatienceInput(
            run_id=RUN,
            partition="0000",
            step=Step(epoch=world.partition().epoch),
            error=CaughtError(Error="SalesforceBusy"),
        )
        services = world.services
        first, second = (check_patience(task, services.store, services.configs) for _ in range(2))
        assert first == second
        assert (first.next, first.wait_seconds, first.org_asked_seconds) == (Next.WAIT_LONGER, 600, 900)


def test_a_lane_that_waits_for_the_org_stops_when_it_is_asked_to():
    silent = f"- match: {{path: /jobs/ingest}}\n  action: {SILENT}"
    with open_world(load=paced(), faults=silent) as world:
        world.plan({"load": "opportunity"})
        world.slices.run_slice(RUN, "0000", stop_before="CheckPatience")
        world.store.ask_to_halt(RUN, Halt.STOP)
        world.slices.run_slice(RUN, "0000")
        assert world.partition().status is PartitionStatus.STOPPED


@pytest.mark.parametrize("path", ["token", "describe", "query-sql"])
def test_an_org_under_maintenance_is_waited_for_before_the_run_is_planned_too(path: str):
    """Each of its first six requests there: 2, 5, 10, 60, 300 and 600 s."""
    outages = "\n".join(f"- match: {{path: {path}, nth: {number}}}\n  action: {SILENT}" for number in range(1, 7))
    with open_world(load=paced(), faults=outages) as world:
        before = WorldClock(world.clock).now()
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert WorldClock(world.clock).now() - before >= timedelta(seconds=977)


def test_a_run_that_could_not_be_planned_within_the_loads_patience_fails():
    with open_world(
        load=paced(patience_seconds=100), faults=f"- match: {{path: describe}}\n  action: {SILENT}"
    ) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.error) == ("Failed", "OrgUnreachable")
        assert not world.jobs


@pytest.mark.parametrize("mode", ["full", "plan"])
def test_an_org_that_has_never_answered_may_have_another_address_and_is_not_waited_for(mode):
    with open_world(load=paced(), faults="- match: {path: token}\n  action: {reset: before}") as world:
        with pytest.raises(SalesforceUnavailable):
            world.plan_once({"load": "opportunity", "mode": mode})
        assert world.store.run(RUN) is None


def test_an_org_that_falls_silent_after_it_has_answered_is_waited_for():
    with open_world(load=paced(), faults="- match: {path: query-sql, nth: 1}\n  action: {reset: before}") as world:
        assert world.plan_once({"load": "opportunity"}).org_waits == 1
        assert world.plan({"load": "opportunity"}).next == "Load"


@pytest.mark.parametrize(
    ("waited_seconds", "following", "status"),
    [
        (LONG_WAIT_SECONDS - 1, Next.WAIT_FOR_JOB, PartitionStatus.RUNNING),
        (LONG_WAIT_SECONDS, Next.DONE, PartitionStatus.STOPPED),
    ],
)
def test_a_stop_leaves_a_job_that_was_waited_for_for_ten_minutes_to_finish_run(waited_seconds, following, status):
    with open_world(load=paced(), queue_seconds=100_000.0) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        uploaded = upload_batch(task, world.services)
        world.store.ask_to_halt(RUN, Halt.STOP)
        step = uploaded.model_copy(update={"job_waited_seconds": waited_seconds - 30, "wait_seconds": 30})
        answer = check_job(task.model_copy(update={"step": step}), world.services)
        assert (answer.next, world.partition().status) == (following, status)
        assert world.open_batch().state is BatchState.SUBMITTED
        verdict = world.finish({})
        assert (verdict.status, verdict.unsettled, verdict.not_sent) == ("Stopped", 0, 30)
        assert world.jobs == {"Aborted": 1}


def test_a_job_is_waited_for_as_long_as_the_loads_patience_lasts():
    load = paced(batch_rows=30, patience_seconds=86_400)
    with open_world(load=load, queue_seconds=80_000.0) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert world.jobs == {"JobComplete": 1}


def test_a_job_that_gets_on_is_waited_for_however_long_it_takes():
    source = generated_opportunities(600, rejected_share=0)
    load = paced(batch_rows=600, patience_seconds=3_600)
    with open_world(source=source, load=load, row_ms=15_000.0) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 600)
        assert world.clock.seconds() > 2 * 3_600
        assert world.jobs == {"JobComplete": 1}


STALLS = "- match: {object: Opportunity, nth: %d}\n  action: {job_stalls: {after_rows: %d}}\n"


@pytest.mark.parametrize("after_rows", [0, 300, pytest.param(200, marks=pytest.mark.soak)])
def test_a_job_that_stands_still_is_aborted_and_what_it_left_is_sent_again(after_rows):
    source = generated_opportunities(300, rejected_share=0)
    load = paced(batch_rows=300, patience_seconds=3_600)
    with open_world(source=source, load=load, faults=STALLS % (1, after_rows)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 300)
        assert 3_600 < world.clock.seconds() < 3 * 3_600
        assert world.jobs == {"Aborted": 1} | ({"JobComplete": 1} if after_rows < 300 else {})
        assert world.partition().resent_rows == 300 - after_rows
        assert world.partition().job_seconds is None, "no other job is expected to take as long"


def test_a_job_that_neither_ends_nor_can_be_aborted_ends_the_lane_and_its_rows_are_unsettled():
    deaf = '- match: {method: PATCH, nth: %d}\n  action: {status: 200, body: \'{"state": "InProgress"}\'}\n'
    faults = STALLS % (1, 0) + "".join(deaf % number for number in range(2, 60))
    with open_world(load=paced(batch_rows=30, patience_seconds=900), faults=faults) as world:
        world.slices.most_states = 400
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.unsettled, verdict.succeeded) == ("Failed", 30, 0)
        assert world.partition().error == "OrgUnreachable"
        world.mend_org()
        resumed = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert resumed is not None
        assert (resumed.status, resumed.succeeded, resumed.unsettled) == ("Completed", 30, 0)


def test_the_input_may_change_a_plans_patience():
    start = {"load": "opportunity", "pace": {"patience_seconds": 12}}
    with open_world(load=paced(), faults=f"- match: {{}}\n  action: {SILENT}") as world:
        world.execute(start)
        assert world.clock.seconds() == 12


def used_up_for(seconds: int) -> str:
    """Others have used up the day's batches, and the org tells no allowance."""
    return (
        f"- match: {{method: POST, path: ingest$, until_seconds: {seconds}}}\n"
        "  action: {status: 400, code: ExceededQuota}\n"
        "- match: {path: /limits}\n  action: {status: 403, code: FORBIDDEN}"
    )


def test_batches_of_the_day_that_are_used_up_are_waited_for_beyond_patience_and_asked_for_once_an_hour(caplog):
    with open_world(load=paced(patience_seconds=500), faults=used_up_for(20 * 3600)) as world, caplog.at_level("INFO"):
        waits = note_org_waits(world)
        world.slices.most_states = 2_000
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert set(waits) == {LONG_WAIT_SECONDS}, "so that a stop or pause is seen"
        assert 19 * 3600 <= sum(waits) <= 22 * 3600
        assert world.slices.visited.count("WaitForOrg") <= 22
    told = [vars(line)["waited_seconds"] for line in caplog.records if line.getMessage() == Event.WAITING_FOR_QUOTA]
    assert told == list(range(0, sum(waits), LONG_WAIT_SECONDS))


def test_an_org_that_refuses_for_more_than_a_day_ends_the_lane_as_somebody_has_to_look():
    with open_world(load=paced(patience_seconds=500), faults=used_up_for(40 * 3600)) as world:
        world.plan({"load": "opportunity"})
        world.slices.most_states = 2_000
        world.slices.run_lane(RUN, "0000")
        lane = world.partition()
        assert (lane.status, lane.error) == (PartitionStatus.FAILED, "OrgUnreachable")
        assert 25 * 3600 + 600 <= world.clock.seconds() <= 25 * 3600 + 900, "and has asked once more by then"


def test_an_org_may_refuse_for_as_long_again_once_the_lane_has_got_on():
    """Fourteen tries, each with its three retries, before the first batch, and as many before the second."""
    refused = (number for number in range(1, 2 * 56 + 2) if number != 57)
    faults = "".join(
        f"- match: {{method: POST, path: ingest$, nth: {number}}}\n  action: {{status: 400, code: ExceededQuota}}\n"
        for number in refused
    )
    with open_world(load=paced(patience_seconds=500), faults=faults) as world:
        waits = note_org_waits(world)
        world.slices.most_states = 2_000
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert sum(waits) == 2 * (600 + 13 * 3600)


def test_a_lane_that_waits_for_used_up_allowances_is_not_taken_for_silent_and_stops_when_it_is_asked_to():
    with open_world(load=paced(), faults=used_up_for(40 * 3600)) as world:
        world.plan({"load": "opportunity"})

        def stop(name: str, seconds: int) -> None:
            woken_at = world.partition().next_wake_at
            assert woken_at is not None
            assert woken_at - world.services.clock.now() >= timedelta(seconds=seconds - 1)
            if name == "WaitLonger":
                world.store.ask_to_halt(RUN, Halt.STOP)

        world.slices.on_wait = stop
        world.slices.run_slice(RUN, "0000")
        assert world.partition().status is PartitionStatus.STOPPED
        assert world.slices.visited.count("WaitLonger") == 1


def test_waits_for_used_up_allowances_take_nothing_off_the_patience_with_an_org_that_does_not_answer():
    """Each try of UploadBatch, its three retries included, is refused by used-up allowances but for the second, which
    finds nobody there."""
    used_up = "".join(
        f"- match: {{method: POST, path: ingest$, nth: {nth}}}\n  action: {{status: 400, code: ExceededQuota}}\n"
        for nth in (*range(1, 5), *range(9, 13))
    )
    silent = "".join(
        f"- match: {{method: POST, path: ingest$, nth: {nth}}}\n  action: {SILENT}\n" for nth in range(5, 9)
    )
    with open_world(load=paced(batch_rows=30, patience_seconds=300), faults=used_up + silent) as world:
        waits = note_org_waits(world)
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert waits == [600, 60, *6 * [600]]


def test_a_wait_for_used_up_allowances_changes_nothing_that_is_known_of_an_org_that_does_not_answer():
    with open_world(load=paced()) as world:
        world.plan({"load": "opportunity"})
        world.slices.run_slice(RUN, "0000", stop_before="FetchPage")
        step = Step(epoch=world.partition().epoch, org_waits=2, org_waited_seconds=360, turn_unanswered_seconds=90)
        error = CaughtError(Error=BatchQuotaExhausted.__name__)
        refused = CheckPatienceInput(run_id=RUN, partition="0000", step=step, error=error)
        services = world.services
        waiting = check_patience(refused, services.store, services.configs)
    assert waiting == step.model_copy(
        update={
            "next": Next.WAIT_FOR_ORG,
            "wait_seconds": 600,
            "events": PATIENCE_EVENTS,
            "allowances_waited_seconds": 600,
        }
    )
