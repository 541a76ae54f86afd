"""A lane begins a batch only within its budget of the org's day, and, where a schedule started it, in its window."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.config import load_directory
from infra.synth import ROOT
from local.org import generated_opportunities
from massive_upload.constants import BATCHES_BETWEEN_LOOKS, LONG_WAIT_SECONDS, SLICE_EVENTS
from massive_upload.contracts import Next, SliceInput
from massive_upload.domain.load import Budget, Load, Schedule
from massive_upload.domain.progress import Halt
from massive_upload.domain.quota import LOOK_AGE, LOOK_LASTS, Need, RequestsTold
from massive_upload.errors import SalesforceUnavailable
from massive_upload.salesforce.transport import Request, Response, Transport
from massive_upload.usecases import turn
from massive_upload.usecases.fetch_page import fetch_page
from tests.integration.usecases.slice_driver import Crash
from tests.integration.usecases.world import RUN, World, open_world, paced

ACCOUNT = load_directory(ROOT / "loads")["account"]
DAY_SECONDS = 86_400
BUDGET = Budget(api_requests_reserve_percent=20, bulk_batches_reserve_percent=40)


def within(load: Load, **parts: Any) -> Load:
    return Load.model_validate(load.model_dump(mode="json") | parts)


@contextmanager
def watched(world: World) -> Iterator[list[tuple[str, float, int, int]]]:
    """Each wait with the moment it began, and what is left of requests and batches."""
    found: list[tuple[str, float, int, int]] = []

    def note(name: str, _seconds: int) -> None:
        left = world.server.backend.limits.describe()
        found.append(
            (
                name,
                world.clock.seconds(),
                left["DailyApiRequests"]["Remaining"],
                left["DailyBulkApiBatches"]["Remaining"],
            )
        )

    world.slices.on_wait = note
    yield found


@pytest.fixture
def rare_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that waits for a day asks once an hour, and not every ten minutes: that is what a test of it takes."""
    monkeypatch.setattr(turn, "LONG_WAIT_SECONDS", 3_600)


@pytest.mark.usefixtures("rare_questions")
@pytest.mark.parametrize("by", ["key", "parent"])
def test_a_load_leaves_the_reserve_of_batches_waits_for_the_next_day_and_goes_on(by):
    load = within(paced(by=by), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=4) as world, watched(world) as waits:
        verdict = world.execute()
        day = world.clock.seconds() // DAY_SECONDS
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)
    assert min(batches for _name, _at, _requests, batches in waits) == 2, "two of four are the others'"
    assert "WaitForTurn" in [name for name, *_ in waits]
    assert day >= 1, "there are more batches than the reserve leaves, so it waits for the day to roll on"


@pytest.mark.usefixtures("rare_questions")
def test_a_load_leaves_the_reserve_of_requests_while_it_waits_too():
    load = within(paced(batch_rows=1), budget=BUDGET.model_dump())
    with open_world(load=load, daily_api_requests=150) as world, watched(world) as waits:
        verdict = world.execute()
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)
    waiting = [requests for name, _at, requests, _batches in waits if name == "WaitForTurn"]
    assert waiting
    assert min(requests for _name, _at, requests, _batches in waits) >= 150 * 20 // 100


@pytest.mark.usefixtures("rare_questions")
@pytest.mark.parametrize("delay_seconds", [0, pytest.param(5, marks=pytest.mark.soak)])
def test_requests_that_others_use_between_two_looks_are_seen_in_the_answers(delay_seconds):
    load = within(paced(batch_rows=1, delay_seconds=delay_seconds), budget=BUDGET.model_dump())
    with open_world(load=load, daily_api_requests=1_000) as world, watched(world) as waits:
        note, limits = world.slices.on_wait, world.server.backend.limits

        def use(name: str, seconds: int) -> None:
            note(name, seconds)
            left = limits.describe()["DailyApiRequests"]["Remaining"]
            if world.slices.visited.count("UploadBatch") == 3 and left > 260:
                for _ in range(left - 260):
                    limits.count_request()

        world.slices.on_wait = use
        verdict = world.execute()
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)
    assert "WaitForTurn" in [name for name, *_ in waits]
    assert min(requests for _name, _at, requests, _batches in waits) >= 1_000 * 20 // 100


@pytest.mark.usefixtures("rare_questions")
def test_a_lane_that_has_waited_for_days_asks_for_no_more_than_before():
    budget = Budget(api_requests_reserve_percent=90).model_dump()
    with open_world(load=within(paced(), budget=budget), daily_api_requests=400) as world:
        waited_seconds: list[int] = []
        world.slices.most_states = 2_000
        world.slices.on_wait = lambda name, seconds: waited_seconds.append(seconds) if name == "WaitForTurn" else None
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert DAY_SECONDS < sum(waited_seconds) < 4 * DAY_SECONDS
        lane = world.partition()
        assert lane.api_requests <= 10 * lane.jobs
        assert world.run().api_requests >= sum(waited_seconds) // 3_600 - 1, "its looks are counted all the same"


def test_a_lane_that_waits_for_another_s_look_remembers_why_it_has_to():
    with open_world(load=within(paced(lanes=3), budget=BUDGET.model_dump()), daily_api_requests=1_000) as world:
        first, second, _ = three_lanes(world)
        assert fetch_page(first, world.services).next is Next.UPLOAD
        world.wait(1)
        now, org_id = world.services.clock.now(), world.services.configs.of(RUN).org_id
        assert world.store.begin_look(org_id, world.store.quota(org_id), now)
        told = RequestsTold(allowed=1_000, left=100, at=now)
        told_so = second.model_copy(update={"step": second.step.model_copy(update={"requests_told": told})})
        waiting = fetch_page(told_so, world.services)
        assert (waiting.next, waiting.requests_told) == (Next.WAIT_FOR_TURN, told)
        assert fetch_page(second, world.services).next is Next.UPLOAD, "what is known would let it begin"


def test_what_a_look_has_answered_for_is_forgotten():
    told = RequestsTold(allowed=1_000, left=100, at=datetime(2026, 1, 1, tzinfo=UTC))
    assert turn.Turn(requests_told=told).waiting_for_answer(told.at).requests_told == told
    assert turn.Turn(requests_told=told).waiting_for_more(told.at).requests_told is None


@pytest.mark.usefixtures("rare_questions")
def test_a_load_whose_rows_come_in_small_pages_leaves_the_reserve_of_requests():
    """Each batch takes ten pages; only what the lane's first one takes beyond `BATCH_REQUESTS` cannot be foreseen."""
    load = within(paced(), budget=BUDGET.model_dump())
    source = generated_opportunities(150, rejected_share=0)
    with open_world(source=source, load=load, daily_api_requests=200, page_rows=1) as world, watched(world) as waits:
        verdict = world.execute()
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 150)
    assert "WaitForTurn" in [name for name, *_ in waits]
    assert min(requests for _name, _at, requests, _batches in waits) >= 200 * 20 // 100


def test_a_lane_that_waits_for_its_query_takes_no_turn_with_each_look_at_it():
    """Its query takes five minutes and nine looks; the budget has six batches, of which the load needs three."""
    load = within(paced(), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=10, query_running_seconds=300) as world, watched(world) as waits:
        verdict = world.execute()
        took_seconds = world.clock.seconds()
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)
    assert [name for name, *_ in waits].count("WaitForQuery") > 6
    assert "WaitForTurn" not in [name for name, *_ in waits]
    assert took_seconds < 2 * LONG_WAIT_SECONDS


def test_a_lane_whose_query_has_ended_asks_for_its_turn_before_it_reads():
    """Others may have used up the day while the query ran."""
    load = within(paced(), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=10, query_running_seconds=900) as world:
        task = world.start_lane()
        read = world.requests["query_sql_rows"]
        while (step := fetch_page(task, world.services)).next is Next.WAIT_FOR_QUERY:
            world.server.backend.limits.count_batches(1)
            world.wait(step.wait_seconds)
            task = task.model_copy(update={"step": step})
        assert step.next is Next.WAIT_FOR_TURN
        assert world.requests["query_sql_rows"] == read


def test_lanes_that_wait_look_at_the_org_once_for_all_of_them():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=1) as world:
        claims = three_lanes(world)
        for _ in range(6):
            assert [step for step, _ in answers(claims, world)] == [Next.WAIT_FOR_TURN] * 3
            assert world.requests["limits"] == 1
            world.wait(LONG_WAIT_SECONDS)
        assert [step for step, _ in answers(claims, world)] == [Next.WAIT_FOR_TURN] * 3
        assert world.requests["limits"] == 2


class SlowClock:
    """Shows a thousandth of the time that passes, as a machine's clock does while waits are made shorter."""

    def __init__(self, world: World) -> None:
        self._clock = world.clock

    def now(self) -> datetime:
        return self._clock.at(self._clock.seconds() / 1_000)


def test_lanes_look_again_after_an_hour_of_waits_where_these_pass_faster_than_the_clock_shows():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=1) as world:
        claims = three_lanes(world)
        for waits in range(9):  # 1, 2, 4, 8 and then 10 minutes each
            services = replace(world.services, clock=SlowClock(world))
            steps = [fetch_page(claim, services) for claim in claims]
            assert [step.next for step in steps] == [Next.WAIT_FOR_TURN] * 3
            assert world.requests["limits"] == 1, waits
            claims = [claim.model_copy(update={"step": step}) for claim, step in zip(claims, steps, strict=True)]
            world.wait(steps[0].wait_seconds)
        for claim in claims:
            assert fetch_page(claim, replace(world.services, clock=SlowClock(world))).next is Next.WAIT_FOR_TURN
        assert world.requests["limits"] == 2


def two_runs(world: World) -> list[SliceInput]:
    """A claimed lane of each of two runs, the second of which begins after the first has looked at the org."""
    world.plan({"load": "opportunity"})
    claims = [world.slices.claim(RUN, "0000")]
    fetch_page(claims[0], world.services)
    world.wait(60)
    world.loads = {"account": within(paced(ACCOUNT), budget=BUDGET.model_dump())}
    world.started_at = world.clock.at(world.clock.seconds())
    world.plan({"load": "account"}, "other")
    return [*claims, world.slices.claim("other", "0000")]


def test_two_runs_that_wait_look_at_the_org_once_for_both():
    load = within(paced(), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=1) as world:
        claims = two_runs(world)
        looks = world.requests["limits"]
        hours = 6
        for _ in range(hours * 3_600 // LONG_WAIT_SECONDS):
            assert [step for step, _ in answers(claims, world)] == [Next.WAIT_FOR_TURN] * 2
            world.wait(LONG_WAIT_SECONDS)
        assert looks == 1
        assert world.requests["limits"] == looks + hours, "one of them when the second run began"


def test_two_runs_that_get_on_do_not_look_at_the_org_at_each_other_s_batches():
    load = within(paced(), budget=BUDGET.model_dump())
    with open_world(load=load) as world:
        claims = two_runs(world)
        for _ in range(3):
            for claim in claims:
                assert fetch_page(claim, world.services).next is Next.UPLOAD
        assert world.requests["limits"] == 2, "one at each run's first batch"


class SlowLimits:
    """Something else happens between the org's answer about its limits and its arrival, once."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.happening: Callable[[], object] | None = None

    def send(self, request: Request) -> Response:
        response = self._transport.send(request)
        if request.url.endswith("/limits") and self.happening is not None:
            happening, self.happening = self.happening, None
            happening()
        return response


def slow_limits(world: World, happening: Callable[[], object]) -> None:
    transport = SlowLimits(world.transport)
    transport.happening = happening
    world.transport = transport


def three_lanes(world: World, *, is_known_of_yesterday: bool = False) -> list[SliceInput]:
    """Claimed lanes, of an org that may have had enough a day before."""
    world.plan({"load": "opportunity"})
    claims = [world.slices.claim(RUN, f"000{lane}") for lane in range(3)]
    if is_known_of_yesterday:
        assert fetch_page(claims.pop(), world.services).next is Next.UPLOAD
        world.wait(DAY_SECONDS)
    return claims


def use_up_batches(world: World, batches: int) -> None:
    """Others do."""
    world.server.backend.limits.count_batches(batches)


A_BATCH = Need(requests_left=None, batches_left=None, requests=8, batches=1)


def begin_batches(world: World, batches: int, need: Need = A_BATCH) -> None:
    """Other lanes begin batches."""
    org_id = world.services.configs.of(RUN).org_id
    for _ in range(batches):
        assert world.store.take_quota(org_id, need)


def three_lanes_whose_look_has_served(world: World, need: Need = A_BATCH) -> list[SliceInput]:
    """The first has looked, and so many batches were begun since that the next one to ask looks again."""
    claims = three_lanes(world)
    assert fetch_page(claims[0], world.services).next is Next.UPLOAD
    begin_batches(world, BATCHES_BETWEEN_LOOKS - 1, need)
    return claims


def answers(claims: list[SliceInput], world: World) -> list[tuple[Next, int]]:
    return [(step.next, step.wait_seconds) for step in (fetch_page(claim, world.services) for claim in claims)]


@pytest.mark.parametrize("is_known_of_yesterday", [False, True])
def test_no_lane_begins_on_a_look_that_has_died(is_known_of_yesterday):
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=10) as world:
        claims = three_lanes(world, is_known_of_yesterday=is_known_of_yesterday)
        use_up_batches(world, 6)
        looks = world.requests["limits"]
        world.after(1)
        with pytest.raises(Crash):
            fetch_page(claims[0], world.services)
        assert world.requests["limits"] == looks, "it had announced its look"
        for next_step, wait_seconds in answers(claims, world):
            assert next_step is Next.WAIT_FOR_TURN
            assert wait_seconds < 60, "it waits for the answer alone"
        assert world.requests["limits"] == looks
        world.wait(int(LOOK_LASTS.total_seconds()))
        for next_step, wait_seconds in answers(claims, world):
            assert next_step is Next.WAIT_FOR_TURN
            assert wait_seconds == 60, "nothing is left"
        assert world.requests["limits"] == looks + 1


def test_a_lane_whose_look_has_died_goes_on():
    load = within(paced(lanes=2), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=10) as world:
        plan = world.plan({"load": "opportunity"})
        claim = world.slices.claim(RUN, "0000")
        world.after(1)
        with pytest.raises(Crash):
            fetch_page(claim, world.services)
        verdict = world.go_on_after(plan)
        assert verdict.succeeded == 30


def test_while_a_lane_looks_the_others_wait_for_its_answer():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=10) as world:
        first, second, third = three_lanes(world)
        meanwhile: list[tuple[Next, int]] = []
        slow_limits(world, lambda: meanwhile.extend(answers([second, third], world)))
        assert fetch_page(first, world.services).next is Next.UPLOAD
        assert [next_step for next_step, _ in meanwhile] == [Next.WAIT_FOR_TURN] * 2
        assert [next_step for next_step, _ in answers([second, third], world)] == [Next.UPLOAD] * 2
        assert world.requests["limits"] == 1


def test_while_a_lane_looks_after_some_batches_the_others_go_on():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=100) as world:
        _first, second, third = three_lanes_whose_look_has_served(world)
        meanwhile: list[tuple[Next, int]] = []
        slow_limits(world, lambda: meanwhile.extend(answers([third], world)))
        assert fetch_page(second, world.services).next is Next.UPLOAD
        assert [next_step for next_step, _ in meanwhile] == [Next.UPLOAD]
        assert world.requests["limits"] == 2


def test_what_comes_late_does_not_replace_what_another_lane_has_seen_since():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=10) as world:
        first, second, third = three_lanes(world)
        meanwhile: list[tuple[Next, int]] = []

        def others_use_it_up() -> None:
            use_up_batches(world, 6)
            world.wait(int(LOOK_LASTS.total_seconds()))
            meanwhile.extend(answers([second], world))

        slow_limits(world, others_use_it_up)
        assert fetch_page(first, world.services).next is Next.WAIT_FOR_TURN
        assert meanwhile == [(Next.WAIT_FOR_TURN, 60)]
        assert fetch_page(third, world.services).next is Next.WAIT_FOR_TURN
        assert world.requests["limits"] == 2


def test_what_is_taken_while_an_answer_is_late_is_taken_off_it():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=100) as world:
        leaves_the_reserve = replace(A_BATCH, batches_left=41)
        _first, second, _third = three_lanes_whose_look_has_served(world, leaves_the_reserve)
        use_up_batches(world, BATCHES_BETWEEN_LOOKS - 1)
        world.wait(1)

        def others_begin_thirty() -> None:
            begin_batches(world, 30, leaves_the_reserve)
            use_up_batches(world, 30)

        slow_limits(world, others_begin_thirty)
        assert fetch_page(second, world.services).next is Next.UPLOAD
        begun = 1
        while world.store.take_quota(world.services.configs.of(RUN).org_id, leaves_the_reserve):
            begun += 1
        assert begun == 60 - BATCHES_BETWEEN_LOOKS - 30 + 1, "the first lane has not used its own yet"


def test_an_org_that_no_longer_tells_its_limits_holds_nobody_up():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=1) as world:
        claims = three_lanes(world)
        assert [step for step, _ in answers(claims, world)] == [Next.WAIT_FOR_TURN] * 3
        world.wait(3_600)
        world.break_org("- match: {path: '/limits$'}\n  action: {status: 404, code: NOT_FOUND}")
        assert [step for step, _ in answers(claims, world)] == [Next.UPLOAD] * 3


class SilentLimits:
    """The answer about the org's limits tells nothing, neither in its body nor in its headers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, request: Request) -> Response:
        response = self._transport.send(request)
        return Response(status=200, headers={}, body=b"{}") if request.url.endswith("/limits") else response


def test_what_the_org_said_of_its_requests_a_day_ago_holds_nobody_up():
    """A process that lives on remembers it; an answer about the limits that tells nothing is no newer figure."""
    load = within(paced(), budget=BUDGET.model_dump())
    with open_world(load=load, daily_api_requests=150) as world:
        task = world.start_lane()
        world.transport = SilentLimits(world.transport)
        services = world.services
        for _ in range(100):
            world.server.backend.limits.count_request()
        services.org.metadata.describe(load.target.object)
        assert services.org.api_usage is not None
        world.wait(DAY_SECONDS)
        assert fetch_page(task, services).next is Next.UPLOAD


LIMITS_LATER = "- match: {path: '/limits$'}\n  action: {status: 503, code: SERVER_UNAVAILABLE}"


@pytest.mark.parametrize("is_known_of_yesterday", [False, True])
def test_nobody_begins_on_figures_that_are_out_of_date_while_the_org_cannot_tell_newer_ones(is_known_of_yesterday):
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=10) as world:
        claims = three_lanes(world, is_known_of_yesterday=is_known_of_yesterday)
        use_up_batches(world, 7)
        world.break_org(LIMITS_LATER)
        for claim in [*claims, *claims]:
            with pytest.raises(SalesforceUnavailable):
                fetch_page(claim, world.services)
        world.break_org("")
        assert [step for step, _ in answers(claims, world)] == [Next.WAIT_FOR_TURN] * len(claims)


@pytest.mark.parametrize("patience_seconds", [300, 7_200])
def test_an_org_that_cannot_tell_its_limits_for_ten_minutes_is_held_not_to_tell_them(patience_seconds):
    load = within(paced(patience_seconds=patience_seconds), budget=BUDGET.model_dump())
    with open_world(load=load, faults=LIMITS_LATER) as world, watched(world) as waits:
        verdict = world.execute()
        took_seconds = world.clock.seconds()
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)
    waited = [at for name, at, *_ in waits if name == "WaitForOrg"]
    assert waited
    assert min(patience_seconds, 600) <= took_seconds < 1_200, "it waits once, not at each look"


def test_a_look_that_fails_after_some_batches_leaves_what_is_known_as_old_as_it_was():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=100) as world:
        _first, second, third = three_lanes_whose_look_has_served(world)
        world.break_org(LIMITS_LATER)
        world.wait(int(LOOK_AGE.total_seconds()) - 1)
        assert fetch_page(second, world.services).next is Next.UPLOAD
        world.wait(1)
        with pytest.raises(SalesforceUnavailable):
            fetch_page(third, world.services)


def test_a_lane_that_waits_on_looks_of_others_which_never_end_is_held_up_for_ten_minutes():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, faults=LIMITS_LATER) as world:
        task = three_lanes(world)[0]
        org_id = world.services.configs.of(RUN).org_id
        assert world.store.begin_look(org_id, None, world.services.clock.now())
        while world.clock.seconds() < 600:
            step = fetch_page(task, world.services)
            assert step.next is Next.WAIT_FOR_TURN
            task = task.model_copy(update={"step": step})
            world.wait(step.wait_seconds)
            seen = world.store.quota(org_id)
            assert seen is not None
            if not seen.is_being_looked_at(now=world.services.clock.now()):
                assert world.store.begin_look(org_id, seen, world.services.clock.now())
        world.wait(int(LOOK_LASTS.total_seconds()))
        assert fetch_page(task, world.services).next is Next.UPLOAD
        assert task.step.events < SLICE_EVENTS / 10, "a new slice would wait for as long again"


def test_an_outage_before_the_org_told_its_limits_does_not_count_when_it_cannot_tell_them_later():
    """The lane has waited for the org for eleven minutes, then for more, and then a look fails once."""
    load = within(paced(), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=1) as world, watched(world) as waits:
        task = world.start_lane()
        world.break_org("- match: {path: '.'}\n  action: {status: 503, code: SERVER_UNAVAILABLE}")

        def mend_after_some_waits(name: str, _seconds: int) -> None:
            waits.append((name, world.clock.seconds(), 0, 0))
            if [name for name, *_ in waits].count("WaitForOrg") == 3:
                world.mend_org()

        world.slices.on_wait = mend_after_some_waits
        payload = task.model_dump(mode="json")
        assert world.slices.go_on("FetchPage", payload, stop_before="WaitForTurn") is None
        refused = SliceInput.model_validate(payload)
        assert refused.step.org_waited_seconds > 600
        world.wait(3_600)
        world.break_org(LIMITS_LATER)
        with pytest.raises(SalesforceUnavailable):
            fetch_page(refused, world.services)


def test_waits_for_looks_of_others_that_are_answered_take_nothing_off_a_lane_s_patience():
    """They wait for more, and each hour the org takes twenty seconds to tell that there is none."""
    load = within(paced(lanes=3, patience_seconds=60), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=1) as world:
        task, other, _third = three_lanes(world)
        assert fetch_page(other, world.services).next is Next.WAIT_FOR_TURN
        waits: list[int] = []

        def ask() -> None:
            nonlocal task
            step = fetch_page(task, world.services)
            assert step.next is Next.WAIT_FOR_TURN
            task = task.model_copy(update={"step": step})

        def wait_meanwhile() -> None:
            for _ in range(3):
                ask()
                waits.append(task.step.wait_seconds)
                world.wait(task.step.wait_seconds)

        hours = 6
        for _ in range(hours):
            world.wait(3_600)
            slow_limits(world, wait_meanwhile)
            assert fetch_page(other, world.services).next is Next.WAIT_FOR_TURN
            ask()
        assert waits == [3, 3, 6] * hours
        assert task.step.org_waited_seconds == 0
        world.wait(3_600)
        world.break_org(LIMITS_LATER)
        with pytest.raises(SalesforceUnavailable):
            fetch_page(task, world.services)


def test_a_stop_is_seen_by_a_lane_that_waits_for_its_turn():
    load = within(paced(), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=2) as world:

        def stop(name: str, _seconds: int) -> None:
            if name == "WaitForTurn":
                world.store.ask_to_halt(RUN, Halt.STOP)

        world.slices.on_wait = stop
        verdict = world.execute()
    assert verdict is not None
    assert verdict.status == "Stopped"
    assert verdict.not_sent + verdict.succeeded == 30


NIGHTLY = Schedule(cron="0 22 * * ? *", timezone="UTC", window="02:00-02:10")


def test_a_scheduled_run_begins_batches_in_its_window_alone():
    load = within(paced(delay_seconds=300), schedule=NIGHTLY.model_dump())
    with open_world(load=load) as world, watched(world) as waits:
        verdict = world.execute({"load": "opportunity", "scheduled": True})
        uploads = [at % DAY_SECONDS for name, at, *_ in waits if name == "WaitForJob"]
        days = world.clock.seconds() // DAY_SECONDS
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)
    assert len(uploads) >= 3
    assert all(2 * 3600 <= second < 2 * 3600 + 600 + 10 for second in uploads)
    assert days == 1, "two batches fit into the window of a day, the third comes a day later"


def test_a_lane_that_waits_for_its_window_has_no_more_patience_afterwards():
    load = within(paced(), schedule=NIGHTLY.model_dump())
    with open_world(load=load) as world:
        world.plan({"load": "opportunity", "scheduled": True})
        claim = world.slices.claim(RUN, "0000")
        task = claim.model_copy(update={"step": claim.step.model_copy(update={"org_waited_seconds": 120})})
        step = fetch_page(task, world.services)
    assert (step.next, step.org_waited_seconds) == (Next.WAIT_FOR_TURN, 120)


def test_whoever_starts_a_run_by_hand_means_now():
    load = within(paced(), schedule=NIGHTLY.model_dump())
    with open_world(load=load) as world, watched(world) as waits:
        verdict = world.execute()
    assert verdict is not None
    assert verdict.succeeded == 30
    assert "WaitForTurn" not in [name for name, *_ in waits]
    assert max(at for _name, at, *_ in waits) < LONG_WAIT_SECONDS


FIRST_REJECTED = "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 1, code: STRING_TOO_LONG}}\n"
RETRY = {"mode": "retry_failed", "of": RUN}


def test_a_retry_that_is_started_by_hand_means_now_though_the_schedule_started_its_run():
    load = within(paced(), schedule=NIGHTLY.model_dump())
    with open_world(load=load, faults=FIRST_REJECTED) as world:
        world.execute({"load": "opportunity", "scheduled": True})
        world.wait(7 * 3600)
        with watched(world) as waits:
            verdict = world.execute(RETRY, "mended")
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 10)
    assert "WaitForTurn" not in [name for name, *_ in waits]


def test_a_run_that_is_resumed_looks_at_the_org_once_itself():
    """Whoever stops a run that waits, and sees to it that more is left, is not to wait for the hour's look."""
    load = within(paced(), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=100) as world:
        use_up_batches(world, 90)

        def stop(name: str, _seconds: int) -> None:
            if name == "WaitForTurn":
                world.store.ask_to_halt(RUN, Halt.STOP)

        world.slices.on_wait = stop
        world.execute()
        assert world.requests["limits"] == 1
        world.slices.on_wait = lambda _name, _seconds: None
        use_up_batches(world, -90)
        verdict = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert world.requests["limits"] == 2
    assert verdict is not None
    assert verdict.status == "Completed"


def test_a_retry_looks_at_the_org_once_itself():
    with open_world(load=within(paced(), budget=BUDGET.model_dump()), faults=FIRST_REJECTED) as world:
        world.execute()
        assert world.requests["limits"] == 1
        world.started_at = world.clock.at(world.clock.seconds())
        world.execute(RETRY, "mended")
        assert world.requests["limits"] == 2
