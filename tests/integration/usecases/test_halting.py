"""Stop and pause: seen in every wait, with an exact account, and a run that goes on as if nothing had been."""

import json
from typing import Any

import pytest

from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.contracts import Verdict
from massive_upload.domain.account import Account
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.progress import Halt, PartitionStatus, RunStatus
from massive_upload.errors import RunNotResumable
from tests.integration.usecases.world import RUN, World, open_world, paced

START = {"load": "opportunity"}
RESUME = {"mode": "resume", "run_id": RUN}
SILENT = "- match: {path: /jobs/ingest}\n  action: {status: 503, code: SERVER_UNAVAILABLE}"
LOCKED = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}"
REFUSED = "- match: {method: POST, path: 'jobs/ingest$', nth: 1}\n  action: {status: 403, code: API_CURRENTLY_DISABLED}"

WAITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "WaitForQuery": ({}, {"query_running_seconds": 900.0}),
    "WaitForJob": ({}, {"queue_seconds": 5_000.0}),
    "WaitForOrg": ({}, {"faults": SILENT}),
    "BackOff": ({"retry_delays_seconds": (600, 600)}, {"faults": LOCKED}),
    "Pace": ({"delay_seconds": 600}, {}),
}
"""Each Wait state of a slice, and the pace and the org that lead there."""

STOPPED = (Halt.STOP, RunStatus.STOPPED, "Fail", "RunStopped")
PAUSED = (Halt.PAUSE, RunStatus.PAUSED, "Succeed", "")


def account(world: World) -> Account:
    return Account(**json.loads(world.files.read(receipt_key(RUN)))["account"])


def ask_during(world: World, wait: str, halt: Halt) -> list[float]:
    """Ask for a halt the first time that a lane comes to a wait; the list will hold that moment."""
    asked_at: list[float] = []

    def on_wait(name: str, _seconds: int) -> None:
        if name == wait and not asked_at:
            assert world.store.ask_to_halt(RUN, halt)
            asked_at.append(world.clock.seconds())

    world.slices.on_wait = on_wait
    return asked_at


def resume_whole(world: World) -> Verdict:
    world.slices.on_wait = lambda _name, _seconds: None
    world.mend_org()
    world.executions.end(RUN)
    verdict = world.execute(RESUME, "again")
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(
    ("halt", "status", "following", "error"), [STOPPED, pytest.param(*PAUSED, marks=pytest.mark.soak)]
)
@pytest.mark.parametrize("wait", WAITS)
def test_a_halt_is_seen_in_every_wait_of_a_lane(wait, halt, status, following, error):
    pace, org = WAITS[wait]
    with open_world(load=paced(**pace), **org) as world:
        world.plan(START)
        asked_at = ask_during(world, wait, halt)
        world.slices.run_lane(RUN, "0000")
        took_seconds = world.clock.seconds() - asked_at[0]
        # A job in flight may take ten minutes to end, and the wait that it is in lasts as long at most.
        longest_seconds = LONG_WAIT_SECONDS * (2 if wait == "WaitForJob" else 1)
        assert took_seconds <= longest_seconds + 1
        assert world.partition().status is PartitionStatus.STOPPED

        verdict = world.finish({})
        assert (verdict.next, verdict.status, verdict.error) == (following, status, error)
        assert (verdict.unsettled, verdict.rejected) == (0, 0)
        assert account(world).balances
        assert (world.run().status, world.store.open_runs()) == (status, [])
        assert verdict.succeeded == len(world.loaded_keys) < 30

        resumed = resume_whole(world)
        assert (resumed.run_id, resumed.status, resumed.succeeded) == (RUN, "Completed", 30)
        assert not world.run().is_halting
        assert world.loaded_keys == world.keys_of()


@pytest.mark.parametrize("halt", Halt)
def test_a_batch_whose_job_was_deleted_is_not_sent_again_by_a_run_that_halts(halt):
    with open_world(load=paced()) as world:
        world.plan(START)
        asked_at: list[float] = []

        def on_wait(name: str, _seconds: int) -> None:
            if name == "WaitForJob" and not asked_at:
                asked_at.append(world.clock.seconds())
                world.server.backend.ingest.delete(world.open_batch().job_id or "")
                assert world.store.ask_to_halt(RUN, halt)

        world.slices.on_wait = on_wait
        world.slices.run_lane(RUN, "0000")
        verdict = world.finish({})
        assert (verdict.succeeded, verdict.not_sent, verdict.unsettled) == (0, 30, 0)
        assert not world.jobs
        assert resume_whole(world).succeeded == 30


@pytest.mark.parametrize("halt", Halt)
def test_a_job_in_flight_that_ends_in_time_is_settled_and_no_other_is_created(halt):
    with open_world(load=paced()) as world:
        world.plan(START)
        ask_during(world, "WaitForJob", halt)
        world.slices.run_lane(RUN, "0000")
        verdict = world.finish({})
        assert (verdict.succeeded, verdict.not_sent) == (10, 20)
        assert world.jobs == {"JobComplete": 1}
        resume_whole(world)
        assert world.jobs == {"JobComplete": 3}, "nothing that was settled was sent again"


@pytest.mark.parametrize("is_org_down", [False, True])
@pytest.mark.parametrize("halt", Halt)
def test_a_run_that_is_asked_to_end_while_its_source_is_counted_ends_stopped(halt, is_org_down):
    with open_world(load=paced(), query_running_seconds=900.0) as world:
        plan = world.plan_once(START)
        assert plan.next == "Wait"
        assert plan.wait_seconds <= LONG_WAIT_SECONDS
        if is_org_down:
            world.break_org("- match: {path: /}\n  action: {status: 503, code: SERVER_UNAVAILABLE}")
            assert world.plan_once(START).next == "Wait"
        assert world.store.ask_to_halt(RUN, halt)
        world.wait(plan.wait_seconds)
        assert world.plan_once(START).next == "Finish"
        verdict = world.finish({})
        assert (verdict.next, verdict.status, verdict.error) == ("Fail", "Stopped", "RunStopped")
        assert (verdict.source_rows, account(world).balances) == (0, True)
        assert (world.run().status, world.store.open_runs()) == (RunStatus.STOPPED, [])
        assert world.store.lease(world.run().lease_key or "") is None
        assert world.jobs == {}
        world.executions.end(RUN)
        with pytest.raises(RunNotResumable, match="nothing to go on with"):
            world.plan(RESUME, "again")


def test_a_run_does_not_go_on_in_another_org(monkeypatch):
    with open_world(load=paced()) as world:
        world.plan(START)
        world.store.ask_to_halt(RUN, Halt.PAUSE)
        world.finish({})
        world.executions.end(RUN)
        monkeypatch.setattr(world.server.backend.identity, "org_id", "00D000000000002EAA")
        with pytest.raises(RunNotResumable, match="another org"):
            world.plan(RESUME, "again")
        assert world.run().status is RunStatus.PAUSED
        monkeypatch.undo()
        assert resume_whole(world).succeeded == 30


@pytest.mark.parametrize("state", ["FetchPage", "UploadBatch", "CheckJob", "SettleBatch"])
def test_a_run_that_is_under_way_asks_no_other_org(monkeypatch, state):
    failed = "- match: {object: Opportunity}\n  action: {row_failures: {share: 0.5, code: STRING_TOO_LONG}}"
    with open_world(load=paced(), faults=failed) as world:
        world.plan(START)
        world.slices.run_slice(RUN, "0000", stop_before=state)
        name, payload = world.slices.at or ("", {})
        jobs, requests = world.jobs, world.requests.total() - world.requests["token"]
        monkeypatch.setattr(world.server.backend.identity, "org_id", "00D000000000002EAA")
        world.slices.run_lane(RUN, "0000")
        assert (world.partition().status, world.partition().error) == ("Failed", "CredentialsRejected")
        assert "00D000000000002EAA; the run writes to org" in (world.partition().cause or "")
        verdict = world.finish({})
        assert (world.jobs, world.requests.total() - world.requests["token"]) == (jobs, requests), (name, payload)
        assert verdict.succeeded + verdict.rejected + verdict.not_sent + verdict.unsettled == 30
        monkeypatch.undo()
        world.executions.end(RUN)
        resumed = resume_whole(world)
        assert (resumed.status, resumed.succeeded + resumed.rejected) == ("Completed", 30)


def test_a_flag_that_is_raised_as_the_plan_is_recorded_lets_no_lane_begin_work():
    with open_world(load=paced(lanes=2)) as world:
        world.plan(START)
        world.store.ask_to_halt(RUN, Halt.PAUSE)
        verdict = world.finish({})
        assert (verdict.status, verdict.not_sent, world.jobs) == ("Paused", 30, {})
        assert resume_whole(world).succeeded == 30


@pytest.mark.parametrize(("halt", "status", "following", "error"), [STOPPED, PAUSED])
def test_rows_that_wait_for_the_sweep_wait_for_resume(halt, status, following, error):
    with open_world(load=paced(retry_delays_seconds=()), faults=LOCKED) as world:
        world.plan(START)
        world.slices.run_lane(RUN, "0000")
        assert world.partition().status is PartitionStatus.COMPLETED
        world.store.ask_to_halt(RUN, halt)
        verdict = world.finish({})
        assert (verdict.next, verdict.status, verdict.error) == (following, status, error)
        assert (verdict.succeeded, verdict.rejected) == (20, 10)
        resumed = resume_whole(world)
        assert (resumed.status, resumed.succeeded, resumed.rejected) == ("Completed", 30, 0)


def test_a_run_whose_lanes_have_all_ended_is_not_stopped_any_more():
    with open_world(load=paced()) as world:
        world.plan(START)
        world.slices.run_lane(RUN, "0000")
        world.store.ask_to_halt(RUN, Halt.STOP)
        assert world.finish({}).status == RunStatus.COMPLETED


@pytest.mark.parametrize(
    ("lanes_worked", "status", "error"),
    [(1, RunStatus.STOPPED, "RunStopped"), (2, RunStatus.FAILED, "PartitionsFailed")],
)
def test_a_lane_that_had_failed_is_told_unless_it_is_all_that_is_left(lanes_worked, status, error):
    with open_world(load=paced(lanes=2), faults=REFUSED) as world:
        world.plan(START)
        for lane in range(lanes_worked):
            world.slices.run_lane(RUN, f"{lane:04d}")
        world.store.ask_to_halt(RUN, Halt.STOP)
        verdict = world.finish({})
        assert (verdict.status, verdict.error) == (status, error)
        assert "1 " in verdict.cause
        assert "failed" in verdict.cause
        assert resume_whole(world).succeeded == 30


def test_a_run_that_the_product_itself_halted_has_failed_whatever_an_operator_asked():
    with open_world(load=paced()) as world:
        world.plan(START)
        world.store.ask_to_halt(RUN, Halt.PAUSE)
        world.store.request_stop(world.partition(), "STORAGE_LIMIT_EXCEEDED", error="RunHalted")
        world.slices.run_lane(RUN, "0000")
        verdict = world.finish({})
        assert (verdict.status, verdict.error) == ("Failed", "RunHalted")
        assert "STORAGE_LIMIT_EXCEEDED" in verdict.cause
        assert f'"run_id": "{RUN}"' in verdict.cause


def test_a_second_pause_after_a_resume_is_obeyed():
    with open_world(load=paced()) as world:
        world.plan(START)
        ask_during(world, "WaitForJob", Halt.PAUSE)
        world.slices.run_lane(RUN, "0000")
        world.finish({})
        world.executions.end(RUN)
        world.plan(RESUME, "again")
        ask_during(world, "WaitForJob", Halt.PAUSE)
        world.slices.run_lane(RUN, "0000")
        verdict = world.finish({"run_id": RUN}, "again")
        assert (verdict.status, verdict.succeeded) == ("Paused", 20)


def test_a_crash_at_any_step_of_the_end_leaves_the_same_account():
    def end_of_run(*, crash_after: int | None) -> tuple[Verdict, int]:
        with open_world(load=paced()) as world:
            world.plan(START)
            ask_during(world, "WaitForJob", Halt.STOP)
            world.slices.run_lane(RUN, "0000")
            before = world.fuse.effects
            if crash_after is not None:
                world.after(crash_after)
            verdict = world.finish_again({})
            assert account(world).balances
            assert (world.run().status, world.store.open_runs()) == (RunStatus.STOPPED, [])
            return verdict, world.fuse.effects - before

    expected, effects = end_of_run(crash_after=None)
    assert effects >= 3
    for effect in range(1, effects + 1):
        assert end_of_run(crash_after=effect)[0] == expected
