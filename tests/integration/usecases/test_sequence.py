"""Several loads in order, as one execution: a run for each, begun when the one before has completed."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from infra.config import load_directory
from infra.synth import ROOT
from massive_upload.contracts import PlanSoFar
from massive_upload.domain.load import Load, LoadSequence
from massive_upload.domain.progress import Halt, Lease, RunStatus
from massive_upload.errors import AnotherRunActive, InvalidInput, StateChanged
from massive_upload.usecases.planning.begin import BeginRun
from tests.integration.usecases.world import World, open_world, paced
from tests.thoroughness import stride

ACCOUNT = load_directory(ROOT / "loads")["account"]
NIGHTLY: dict[str, Any] = {"load": "nightly"}
FIRST, SECOND = "run-1.account", "run-1.opportunity"
WITHOUT_SECOND = "This execution does not go on with opportunity: run in this order what has not been run."
REFUSED_ACCOUNTS = """
- match: {object: Account}
  action: {row_failures: {share: 0.5, code: FIELD_CUSTOM_VALIDATION_EXCEPTION, message: refused}}
"""


@contextmanager
def nightly_world(**settings: Any) -> Iterator[World]:
    with open_world(load=paced(), **settings) as world:
        world.loads = {"account": paced(ACCOUNT)}
        world.sequences = {"nightly": LoadSequence(name="nightly", sequence=("account", "opportunity"))}
        yield world


def leases(world: World) -> dict[str, str]:
    """Which run holds which target."""
    org_id = world.services.org.org_id
    held = {target: world.store.lease(f"{org_id}#{target}") for target in ("account", "opportunity")}
    return {target: lease.run_id for target, lease in held.items() if lease is not None}


def test_each_load_is_a_run_of_its_own_with_its_own_account():
    with nightly_world() as world:
        verdict = world.execute(NIGHTLY)
        assert verdict is not None
        assert (verdict.next, verdict.run_id) == ("Succeed", SECOND)
        first, second = world.run(FIRST), world.run(SECOND)
        assert (first.status, second.status) == (RunStatus.COMPLETED, RunStatus.COMPLETED)
        assert (first.load, second.load) == ("account", "opportunity")
        assert (first.loads_after, second.loads_after) == (("opportunity",), ())
        assert first.ended_at is not None
        assert len(world.server.backend.rows("Opportunity")) == 30
        assert leases(world) == {}


def test_all_targets_are_taken_before_the_first_load_begins():
    with nightly_world() as world:
        world.plan(NIGHTLY)
        assert leases(world) == {"account": FIRST, "opportunity": SECOND}
        assert world.store.run(SECOND) is None
        with pytest.raises(AnotherRunActive, match="opportunity"):
            world.plan({"load": "opportunity"}, "by-hand")


def test_a_sequence_does_not_begin_while_a_later_target_is_taken():
    with nightly_world() as world:
        world.plan({"load": "opportunity"}, "by-hand")
        with pytest.raises(AnotherRunActive, match="by-hand"):
            world.plan(NIGHTLY)
        assert world.store.run(FIRST) is None
        assert world.plan({**NIGHTLY, "scheduled": True}).next == "Skip"
        assert leases(world) == {"opportunity": "by-hand"}


def test_a_load_that_misses_its_criterion_ends_the_sequence():
    with nightly_world(faults=REFUSED_ACCOUNTS) as world:
        verdict = world.execute(NIGHTLY)
        assert verdict is not None
        assert (verdict.next, verdict.error, verdict.run_id) == ("Fail", "SuccessRateBelowCriterion", FIRST)
        assert verdict.cause.endswith(WITHOUT_SECOND)
        assert (world.run(FIRST).cause, world.execute({"load": "nightly"})) == (verdict.cause, verdict)
        assert world.store.run(SECOND) is None
        assert leases(world) == {}


@pytest.mark.parametrize("halt", Halt)
def test_a_load_that_is_halted_ends_the_sequence(halt):
    with nightly_world() as world:
        plan = world.plan(NIGHTLY)
        world.store.ask_to_halt(FIRST, halt)
        verdict = world.go_on_after(plan)
        assert verdict.next == ("Fail" if halt is Halt.STOP else "Succeed")
        assert verdict.cause.endswith(WITHOUT_SECOND)
        assert world.store.run(SECOND) is None
        assert leases(world) == {}


def ask_as_the_last_job_ends(world: World, halt: Halt, mode: str = "full") -> dict[str, object]:
    """A first load that is asked to end when nothing of it is left to do: what FinishRun is given."""
    start = {**NIGHTLY, "mode": mode}
    plan = world.plan(start)
    world.slices.run_lane(FIRST, "0000")
    assert world.store.ask_to_halt(FIRST, halt)
    return {**start, "plan": plan.model_dump(mode="json")}


@pytest.mark.parametrize("halt", Halt)
def test_a_load_that_is_halted_when_it_has_nothing_left_to_do_ends_the_sequence(halt):
    with nightly_world() as world:
        state = ask_as_the_last_job_ends(world, halt, "sample")
        verdict = world.finish(state)
        assert (verdict.next, verdict.status, verdict.error) == ("Fail", "Completed", "RunStopped")
        assert '{"load": "nightly", "mode": "sample", "start_with": "opportunity"}' in verdict.cause
        assert world.finish(state) == verdict
        assert (world.run(FIRST).status, world.store.run(SECOND)) == (RunStatus.COMPLETED, None)
        assert leases(world) == {}
        world.executions.end("run-1", "FAILED")
        rest = world.execute(json.loads(verdict.cause[verdict.cause.index("{") : -1]), "rest")
        assert (rest and (rest.status, rest.succeeded)) == ("Completed", 30)


def stopped_before_call(number: int) -> tuple[bool | None, str]:
    """Whether a stop is accepted just before some call of FinishRun, and what comes next; None for no such call."""
    accepted: list[bool] = []
    with nightly_world() as world:
        plan = world.plan(NIGHTLY)
        world.slices.run_lane(FIRST, "0000")
        state = {**NIGHTLY, "plan": plan.model_dump(mode="json")}
        world.stall.happening = lambda: accepted.append(world.store.ask_to_halt(FIRST, Halt.STOP))
        world.stall.holds = world.stall.calls + number
        with suppress(StateChanged):
            world.finish_once(state)
        return (accepted[0] if accepted else None), world.finish_once(state).next


def test_a_stop_that_is_accepted_while_a_load_is_finished_ends_the_sequence():
    seen = []
    for number in itertools.count(1, 2):
        is_accepted, following = stopped_before_call(number)
        if is_accepted is None:
            break
        assert following == ("Fail" if is_accepted else "More"), number
        seen.append(is_accepted)
    assert set(seen) == {True, False}


@pytest.mark.parametrize(
    "deployed",
    [("opportunity",), ("opportunity", "account"), ("account", "others", "opportunity"), None],
    ids=["shorter", "turned round", "longer", "none"],
)
def test_an_execution_keeps_to_the_sequence_that_it_began_with_whatever_is_deployed_meanwhile(deployed):
    with nightly_world() as world:
        first = world.carry_out(NIGHTLY, "run-1", 0)
        assert first is not None
        assert first.next == "More"
        world.sequences = {"nightly": LoadSequence(name="nightly", sequence=deployed)} if deployed else {}
        verdict = world.carry_out(NIGHTLY, "run-1", 1)
        assert verdict is not None
        assert (verdict.next, verdict.run_id, verdict.status) == ("Succeed", SECOND, "Completed")


def test_what_is_left_of_a_sequence_begins_with_the_load_that_is_named():
    with nightly_world() as world:
        verdict = world.execute({**NIGHTLY, "start_with": "opportunity"})
        assert verdict is not None
        assert verdict.run_id == SECOND
        assert world.store.run(FIRST) is None


def test_a_resumed_load_does_not_go_on_with_the_sequence():
    """Its execution was asked for that run alone; the rest is started with start_with."""
    with nightly_world() as world:
        world.plan(NIGHTLY)
        world.abort(run_id=FIRST)
        assert leases(world) == {}
        verdict = world.execute({"mode": "resume", "run_id": FIRST}, "resuming")
        assert verdict is not None
        assert (verdict.next, verdict.run_id, verdict.status) == ("Succeed", FIRST, "Completed")
        assert verdict.cause == WITHOUT_SECOND


def test_an_org_that_falls_silent_between_two_loads_is_waited_for():
    with nightly_world() as world:
        assert world.go_on_after(world.plan(NIGHTLY)).next == "More"
        world.break_org("- match: {path: /}\n  action: {reset: before}")
        plan = world.plan_once(NIGHTLY, waits=PlanSoFar(sequence=("account", "opportunity"), position=1))
        assert (plan.next, plan.org_waits) == ("Wait", 1)
        world.mend_org()
        verdict = world.carry_out(NIGHTLY, "run-1", 1)
        assert (verdict and (verdict.next, verdict.run_id)) == ("Succeed", SECOND)


def test_a_load_that_is_gone_as_its_turn_comes_gives_back_what_the_sequence_had_taken(monkeypatch):
    def gone(_self: BeginRun) -> Load:
        raise InvalidInput("There is no load 'opportunity'.")

    with nightly_world() as world:
        world.go_on_after(world.plan(NIGHTLY))
        assert leases(world) == {"opportunity": SECOND}
        monkeypatch.setattr(BeginRun, "_load", gone)
        verdict = world.carry_out(NIGHTLY, "run-1", 1)
        assert verdict is not None
        assert (verdict.next, verdict.cause) == ("Fail", f"There is no load 'opportunity'. {WITHOUT_SECOND}")
        assert (world.store.run(SECOND), leases(world)) == (None, {})


def test_what_another_execution_has_taken_meanwhile_is_not_given_back(monkeypatch):
    with nightly_world() as world:
        world.go_on_after(world.plan(NIGHTLY))
        taken = world.store.lease(world.run(FIRST).leases_after[0])
        assert taken is not None
        assert (
            world.store.acquire_lease(replace(taken, run_id="other", execution_arn="others"), instead_of=taken) is None
        )
        world.carry_out(NIGHTLY, "run-1", 1)
        assert leases(world) == {"opportunity": "other"}


def test_a_load_that_cannot_run_incrementally_is_told_before_the_first_begins():
    with nightly_world() as world:
        for load, modified in ((world.loads["account"], "Changed__c"), (world.load, None)):
            source = load.source.model_copy(update={"modified": modified})
            world.loads[load.name] = load.model_copy(update={"source": source})
        with pytest.raises(InvalidInput, match="opportunity does not name the column"):
            world.plan({**NIGHTLY, "mode": "incremental"})
        assert (world.store.run(FIRST), leases(world)) == (None, {})


def test_an_execution_that_died_leaves_no_target_taken():
    """Of the second load there is no run yet that somebody could finish."""
    with nightly_world() as world:
        world.plan(NIGHTLY)
        world.executions.end("run-1")
        assert leases(world) == {"account": FIRST, "opportunity": SECOND}
        verdict = world.execute({"load": "opportunity"}, "by-hand")
        assert verdict is not None
        assert verdict.status == "Completed"


def test_a_plan_of_a_sequence_counts_each_load_and_takes_no_target():
    with nightly_world() as world:
        verdict = world.execute({**NIGHTLY, "mode": "plan"})
        assert verdict is not None
        assert (verdict.run_id, verdict.not_sent) == (SECOND, 30)
        assert world.run(FIRST).mode == "plan"
        assert world.jobs == {}


def test_two_loads_of_one_target_keep_it_between_them(monkeypatch: pytest.MonkeyPatch):
    with nightly_world() as world:
        taken: list[str] = []
        acquire = world.store.acquire_lease

        def noted(lease: Lease, *, instead_of: Lease | None = None) -> Lease | None:
            taken.append(lease.run_id)
            return acquire(lease, instead_of=instead_of)

        monkeypatch.setattr(world.store, "acquire_lease", noted)
        again = world.load.model_copy(update={"name": "again"})
        world.loads |= {"again": again}
        world.sequences = {"nightly": LoadSequence(name="nightly", sequence=("opportunity", "again"))}
        plan = world.plan(NIGHTLY)
        assert taken == ["run-1.opportunity"]
        assert world.go_on_after(plan).next == "More"
        assert leases(world) == {"opportunity": "run-1.opportunity"}, "or another run could come between"
        assert world.go_on_after(world.plan(NIGHTLY, position=1)).next == "Succeed"
        assert leases(world) == {}


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ({**NIGHTLY, "pace": {"batch_rows": 5}}, "pace cannot be given for a sequence"),
        ({**NIGHTLY, "start_with": "flights"}, "has no load 'flights'"),
        ({"load": "opportunity", "start_with": "opportunity"}, "for a sequence"),
    ],
)
def test_what_cannot_be_asked_of_a_sequence_is_refused(start, says):
    with nightly_world() as world, pytest.raises(InvalidInput, match=says):
        world.plan(start)


def test_a_task_that_dies_after_any_effect_changes_nothing_of_the_outcome():
    for effects in itertools.count(1, stride(17)):
        with nightly_world() as world:
            world.after(effects)
            verdict = world.execute(NIGHTLY)
            assert verdict is not None
            assert (verdict.next, verdict.run_id, verdict.succeeded) == ("Succeed", SECOND, 30)
            assert world.run(FIRST).status is RunStatus.COMPLETED
            assert leases(world) == {}
            if not world.fuse.has_blown:
                break
    assert effects > 20


def test_a_plan_that_fails_between_two_loads_ends_the_sequence_with_its_account():
    """FinishRun is told of no run then: it finds the one that its execution has begun."""
    with nightly_world() as world:
        world.go_on_after(world.plan(NIGHTLY))
        world.loads["opportunity"] = world.load.model_copy(
            update={"source": world.load.source.model_copy(update={"object": "Nothing__dlm"})}
        )
        verdict = world.carry_out(NIGHTLY, "run-1", 1)
        assert verdict is not None
        assert (verdict.next, verdict.run_id, verdict.error) == ("Fail", SECOND, "SourceRejected")
        assert world.run(SECOND).status is RunStatus.FAILED
        assert leases(world) == {}


def test_an_execution_may_have_the_longest_name_there_is():
    with nightly_world() as world:
        verdict = world.execute(NIGHTLY, "x" * 80)
        assert verdict is not None
        assert (verdict.next, verdict.run_id) == ("Succeed", f"{'x' * 80}.opportunity")


def test_finish_run_says_the_same_again():
    with nightly_world() as world:
        plan = world.plan(NIGHTLY)
        assert [world.go_on_after(plan).next for _ in range(2)] == ["More", "More"]
        assert leases(world) == {"opportunity": SECOND}
