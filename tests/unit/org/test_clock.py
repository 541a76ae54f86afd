from datetime import UTC, datetime, timedelta

import pytest

from local.org.clock import ManualClock, ScaledClock


def test_a_scaled_clock_shortens_waits_by_its_scale():
    assert ScaledClock(60).real_seconds(30) == 0.5


def test_a_scaled_clock_runs_faster_than_real_time():
    clock = ScaledClock(1e9)
    started = clock.at(0)
    assert clock.at(clock.seconds()) - started > datetime.now(UTC) - started


@pytest.mark.parametrize("scale", [0, -1])
def test_a_clock_cannot_stand_still_or_run_backwards(scale):
    with pytest.raises(ValueError, match="above 0"):
        ScaledClock(scale)


def test_a_manual_clock_moves_by_hand_alone():
    clock = ManualClock()
    assert clock.seconds() == 0
    clock.move(90)
    assert clock.at(clock.seconds()) - clock.at(0) == timedelta(seconds=90)
    assert clock.real_seconds(90) == 0
