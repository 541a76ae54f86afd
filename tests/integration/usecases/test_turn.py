"""A lane begins a batch only within its budget of the org's day, and, where a schedule started it, in its window."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.org import generated_opportunities
from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.contracts import Next
from massive_upload.domain.load import Budget, Load, Schedule
from massive_upload.domain.progress import Halt
from massive_upload.domain.quota import REFUSALS_BETWEEN_LOOKS
from massive_upload.usecases.fetch_page import fetch_page
from tests.integration.usecases.slice_driver import Crash
from tests.integration.usecases.world import RUN, World, open_world, paced

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


def test_a_load_leaves_the_reserve_of_requests_while_it_waits_too():
    load = within(paced(batch_rows=1), budget=BUDGET.model_dump())
    with open_world(load=load, daily_api_requests=150) as world, watched(world) as waits:
        verdict = world.execute()
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 30)
    waiting = [requests for name, _at, requests, _batches in waits if name == "WaitForTurn"]
    assert waiting
    assert min(requests for _name, _at, requests, _batches in waits) >= 150 * 20 // 100


def test_a_load_whose_rows_come_in_small_pages_leaves_the_reserve_of_requests():
    """Each batch takes ten pages; only what the lane's first one takes beyond eight requests cannot be foreseen."""
    load = within(paced(), budget=BUDGET.model_dump())
    source = generated_opportunities(150, rejected_share=0)
    with open_world(source=source, load=load, daily_api_requests=200, page_rows=1) as world, watched(world) as waits:
        verdict = world.execute()
    assert verdict is not None
    assert (verdict.status, verdict.succeeded) == ("Completed", 150)
    assert "WaitForTurn" in [name for name, *_ in waits]
    assert min(requests for _name, _at, requests, _batches in waits) >= 200 * 20 // 100


def test_lanes_that_wait_look_at_the_org_once_for_all_of_them():
    load = within(paced(lanes=3), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=1) as world:
        world.plan({"load": "opportunity"})
        claims = [world.slices.claim(RUN, f"000{lane}") for lane in range(3)]
        for _ in range(REFUSALS_BETWEEN_LOOKS):
            assert [fetch_page(claim, world.services).next for claim in claims] == [Next.WAIT_FOR_TURN] * 3
        assert world.requests["limits"] == 1
        fetch_page(claims[0], world.services)
        assert world.requests["limits"] == 2


def test_a_lane_that_dies_while_it_looks_leaves_the_others_what_was_known():
    load = within(paced(lanes=2), budget=BUDGET.model_dump())
    with open_world(load=load, daily_bulk_batches=10) as world:
        world.plan({"load": "opportunity"})
        first, second = (world.slices.claim(RUN, f"000{lane}") for lane in range(2))
        world.after(1)
        with pytest.raises(Crash):
            fetch_page(first, world.services)
        assert world.requests["limits"] == 0, "it had announced its look"
        assert fetch_page(second, world.services).next is Next.UPLOAD
        verdict = world.go_on_after(world.plan({"load": "opportunity"}))
        assert verdict.succeeded == 30


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


def test_whoever_starts_a_run_by_hand_means_now():
    load = within(paced(), schedule=NIGHTLY.model_dump())
    with open_world(load=load) as world, watched(world) as waits:
        verdict = world.execute()
    assert verdict is not None
    assert verdict.succeeded == 30
    assert "WaitForTurn" not in [name for name, *_ in waits]
    assert max(at for _name, at, *_ in waits) < LONG_WAIT_SECONDS
