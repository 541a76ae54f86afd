"""How a lane's pace follows what the org answers, on fixed traces and against an org with a limit of its own."""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.domain.pace import JUDGED_ROWS, LanePace, PaceReason, longer_delays, next_pace
from massive_upload.domain.presets import PACE, SLOWEST_PACE, LockRisk
from tests.unit.domain.loads import a_load

QUIET, HARMLESS, COLLIDING, CONTENDED = 0, 60, 150, 500
"""Failed rows among 2,000: 100 %, 97 %, 92.5 % and 75 % pass."""


LAGS = [0, 1]
"""How many batches are staged before the verdict on the one before is known: one where a lane reads ahead."""


def follow(
    outcome: Callable[[int, int], int], decisions: int, *, lag: int = 0, pace: LanePace | None = None
) -> list[int]:
    """A lane's speed after each decision.

    Args:
        outcome: failed rows of the batch that was staged at a speed, and is the n-th.
        decisions: batches, each of which is enough for a decision.
        lag: see `LAGS`.
        pace: to begin with.
    """
    pace, found = pace or LanePace(), []
    staged = deque([pace.speed_percent] * lag)
    for number in range(decisions):
        staged.append(pace.speed_percent)
        speed_percent = staged.popleft()
        failed_rows = outcome(speed_percent, number)
        pace, _ = next_pace(pace, speed_percent=speed_percent, rows=JUDGED_ROWS, failed_rows=failed_rows)
        found.append(pace.speed_percent)
    return found


def speeds(trace: Sequence[int], *, lag: int = 0, pace: LanePace | None = None) -> list[int]:
    """A lane's speed after each decision of a trace of failed rows."""
    return follow(lambda _speed_percent, number: trace[number], len(trace), lag=lag, pace=pace)


def judged(pace: LanePace, failed_rows: int, rows: int = JUDGED_ROWS) -> tuple[LanePace, PaceReason | None]:
    """The pace after a batch that was staged at it."""
    return next_pace(pace, speed_percent=pace.speed_percent, rows=rows, failed_rows=failed_rows)


def reversals(found: Sequence[int]) -> int:
    """How often a lane that went one way goes the other."""
    ways = [after > before for before, after in pairwise(found) if after != before]
    return sum(way != before for before, way in pairwise(ways))


def test_an_org_that_is_quiet_is_loaded_at_the_loads_own_pace():
    assert speeds([QUIET] * 20) == [100] * 20


def test_a_contended_org_slows_a_lane_by_halves_and_a_quiet_one_speeds_it_up_by_steps():
    found = speeds([QUIET] * 3 + [CONTENDED] * 6 + [QUIET] * 20)
    assert found[:9] == [100, 100, 100, 50, 20, 10, 0, 0, 0]
    assert found[9:16] == [0] * 7, "the speed that was too fast is tried again after a quiet time"
    assert found[16:] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 100, 100]
    assert reversals(found) == 1


@pytest.mark.parametrize("lag", LAGS)
def test_one_burst_costs_one_step_down_and_the_way_back(lag):
    """It hits as many batches as are staged at the speed that it finds."""
    found = speeds([QUIET] * 10 + [CONTENDED] * (1 + lag) + [QUIET] * 16, lag=lag)
    assert (min(found), found[-1]) == (50, 100)
    assert reversals(found) == 1


@pytest.mark.parametrize("lag", LAGS)
def test_a_contended_hour_and_a_burst_turn_a_lane_round_once_each(lag):
    found = speeds([QUIET] * 5 + [CONTENDED] * 6 + [QUIET] * 40 + [CONTENDED] + [QUIET] * 30, lag=lag)
    assert found[-1] == 100
    assert reversals(found[:51]) == 1
    assert reversals(found[51:]) <= 1


def test_a_batch_that_was_staged_at_another_speed_moves_nothing():
    slowed, _ = judged(LanePace(), CONTENDED)
    assert slowed.speed_percent == 50
    for failed_rows in (QUIET, COLLIDING, CONTENDED):
        assert next_pace(slowed, speed_percent=100, rows=JUDGED_ROWS, failed_rows=failed_rows) == (slowed, None)
    faster, _ = judged(slowed, QUIET)
    assert faster.speed_percent == 60
    assert next_pace(faster, speed_percent=50, rows=JUDGED_ROWS, failed_rows=QUIET) == (faster, None)


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("limit_percent", [15, 35, 55, 75, 95])
def test_against_an_org_with_a_limit_of_its_own_a_lane_settles_below_it(limit_percent, lag):
    found = follow(lambda speed, _: CONTENDED if speed > limit_percent else QUIET, 200, lag=lag)
    settled = found[20 * (1 + lag) :]
    assert reversals(settled) <= 2
    at_work = sum(speed <= limit_percent for speed in settled) / len(settled)
    assert at_work >= 0.9, "it hardly ever goes faster than the org takes"
    assert sum(settled) / len(settled) >= limit_percent * 2 / 3, "nor much slower"


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("every", [1, 2, 3, 5, 8])
def test_an_org_that_is_quiet_at_full_speed_now_and_then_does_not_make_a_lane_forget_that_it_was_too_fast(every, lag):
    tried = itertools.count(1)

    def outcome(speed_percent: int, _number: int) -> int:
        return CONTENDED if speed_percent == 100 and next(tried) % every == 0 else QUIET

    found = follow(outcome, 200, lag=lag)
    assert reversals(found) <= 5, "each try takes eight times as long to come"
    assert sum(found[40:]) / len(found[40:]) >= 85


def test_a_lane_forgets_a_speed_that_was_too_fast_once_it_has_been_quiet_there_for_as_long_as_it_had_to_wait():
    pace, _ = judged(LanePace(), CONTENDED)
    while pace.speed_percent < 100:
        pace, _ = judged(pace, QUIET)
    for _ in range(7):
        pace, _ = judged(pace, QUIET)
        assert pace.limit_percent == 100
    forgotten, _ = judged(pace, QUIET)
    assert (forgotten.limit_percent, forgotten.quiet_needed) == (None, 8)
    slowed, _ = judged(pace, CONTENDED)
    assert slowed.quiet_needed == 64, "eight times as long"
    forgotten, _ = judged(LanePace(limit_percent=100, quiet_decisions=63, quiet_needed=64), QUIET)
    assert (forgotten.limit_percent, forgotten.quiet_needed) == (None, 8)


@pytest.mark.parametrize("failed_rows", [HARMLESS, COLLIDING, CONTENDED])
@pytest.mark.parametrize("speed_percent", [0, 50, 100])
def test_quiet_decisions_are_counted_in_a_row(speed_percent, failed_rows):
    pace = LanePace(speed_percent=speed_percent, limit_percent=60, quiet_decisions=7)
    assert judged(pace, failed_rows)[0].quiet_decisions == 0


def test_a_quiet_org_never_slows_a_lane_that_is_faster_than_what_was_once_too_fast():
    pace = LanePace(speed_percent=60, limit_percent=50)
    assert judged(pace, QUIET)[0].speed_percent == 60


def test_what_lies_between_the_thresholds_changes_no_speed():
    assert speeds([HARMLESS, COLLIDING] * 10) == [100] * 20
    slowed = LanePace(speed_percent=50, limit_percent=100)
    assert speeds([HARMLESS, COLLIDING] * 10, pace=slowed) == [50] * 20


@pytest.mark.parametrize(
    ("failed_rows", "speed_percent", "is_patient"),
    [(101, 100, True), (100, 100, False), (200, 100, True), (201, 50, True)],
)
def test_90_and_95_percent_are_enough(failed_rows, speed_percent, is_patient):
    pace, _ = judged(LanePace(), failed_rows)
    assert (pace.speed_percent, pace.is_patient) == (speed_percent, is_patient)


def test_98_percent_are_not_enough_to_go_faster():
    slowed = LanePace(speed_percent=50)
    assert judged(slowed, 40)[0].speed_percent == 50
    assert judged(slowed, 39)[0].speed_percent == 60


def test_retry_delays_grow_with_the_first_collisions_and_shrink_in_a_quiet_org():
    patient, reason = judged(LanePace(), COLLIDING)
    assert (patient.is_patient, reason) == (True, PaceReason.RETRIES_COLLIDE)
    assert judged(patient, COLLIDING)[1] is None, "nothing changes any more"
    assert judged(patient, HARMLESS)[0].is_patient
    quiet, reason = judged(patient, QUIET)
    assert (quiet.is_patient, reason) == (False, PaceReason.QUIET)


def test_a_decision_is_made_once_enough_rows_were_tried():
    pace, reason = judged(LanePace(), JUDGED_ROWS - 1, rows=JUDGED_ROWS - 1)
    assert (pace.speed_percent, reason, pace.judged_rows) == (100, None, JUDGED_ROWS - 1)
    pace, reason = judged(pace, QUIET, rows=1)
    assert (pace.speed_percent, reason, pace.judged_rows) == (50, PaceReason.CONTENDED, 0)
    assert pace.failed_rows == 0, "the next one begins anew"


def test_longer_delays_are_no_longer_than_a_flag_may_go_unseen():
    assert longer_delays((2, 399, 500)) == (3, 598, LONG_WAIT_SECONDS)


@pytest.mark.parametrize("risk", LockRisk)
def test_the_pace_stays_within_the_guides_ranges(risk):
    load = a_load(lock_risk=risk)
    rows, delay_seconds = SLOWEST_PACE[risk]
    fastest, slowest = load.pace_at(LanePace()), load.pace_at(LanePace(speed_percent=0, is_patient=True))
    assert (fastest.batch_rows, fastest.delay_seconds) == (PACE[risk]["batch_rows"], PACE[risk]["delay_seconds"])
    assert (slowest.batch_rows, slowest.delay_seconds) == (rows, delay_seconds)
    assert slowest.retry_delays_seconds == (3, 7, 15), "the guide's"
    middle = load.pace_at(LanePace(speed_percent=50))
    assert rows < middle.batch_rows < fastest.batch_rows


@pytest.mark.parametrize(("speed_percent", "batch_rows"), [(100, 20_000), (99, 9_920), (50, 6_000), (0, 2_000)])
def test_a_pair_that_has_to_go_slower_goes_on_in_jobs_of_one_batch(speed_percent, batch_rows):
    load = a_load(source={"parent": "Account"})
    assert load.pace_at(LanePace(speed_percent=speed_percent), is_paired=True).batch_rows == batch_rows
    assert load.pace_at(LanePace(speed_percent=speed_percent)).batch_rows == min(10_000, batch_rows)


def test_a_load_whose_own_pace_is_slower_than_the_preset_is_never_made_faster():
    own = {"batch_rows": 100, "delay_seconds": 120}
    load = a_load(pace=own)
    for speed_percent in (0, 50, 100):
        pace = load.pace_at(LanePace(speed_percent=speed_percent))
        assert (pace.batch_rows, pace.delay_seconds) == (100, 120)
