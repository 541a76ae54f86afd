"""When a window is open: over midnight, and on the days when clocks change."""

from datetime import UTC, datetime, timedelta

import pytest

from massive_upload.domain.window import Window, check_window

NIGHT = Window.parse("22:00-06:00", "Europe/London")
EARLY = Window.parse("01:30-05:00", "Europe/London")


def at(day: str, hour: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{hour}+00:00")


@pytest.mark.parametrize(
    ("hour", "is_open"),
    [("21:59:59", False), ("22:00:00", True), ("00:00:00", True), ("05:59:59", True), ("06:00", False)],
)
def test_a_night_goes_over_midnight_and_ends_before_its_last_minute(hour, is_open):
    assert NIGHT.is_open(at("2026-01-15", hour)) == is_open


def test_the_hours_are_those_of_the_time_zone():
    assert NIGHT.is_open(at("2026-07-15", "21:00")), "22:00 British Summer Time"
    assert not NIGHT.is_open(at("2026-07-15", "05:00"))


def test_a_window_of_the_day_does_not_go_over_midnight():
    lunch = Window.parse("12:00-13:30", "UTC")
    assert [lunch.is_open(at("2026-01-15", hour)) for hour in ("11:59", "12:00", "13:29", "13:30")] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "minutes"), [("22:00-06:00", 480), ("12:00-13:30", 90), ("23:30-00:15", 45), ("06:15-06:00", 1_425)]
)
def test_a_window_is_as_long_as_from_its_opening_to_its_next_end(text, minutes):
    assert Window.parse(check_window(text), "UTC").length_seconds == 60 * minutes


def test_how_long_to_wait_until_it_opens_or_to_the_next_look():
    assert NIGHT.seconds_until_open(at("2026-01-15", "21:59:30"), most=600) == 30
    assert NIGHT.seconds_until_open(at("2026-01-15", "21:50:00.5"), most=600) == 600
    assert NIGHT.seconds_until_open(at("2026-01-15", "06:00"), most=600) == 600
    assert NIGHT.seconds_until_open(at("2026-01-15", "23:00"), most=600) == 0


def test_an_hour_that_is_left_out_opens_the_window_all_the_same():
    # On 29 March 2026 London's clocks go from 01:00 to 02:00: 01:30 is never shown.
    assert not EARLY.is_open(at("2026-03-29", "00:59:59"))
    assert EARLY.is_open(at("2026-03-29", "01:00:00")), "they show 02:00"


def test_a_window_within_an_hour_that_is_left_out_does_not_open_on_that_day():
    # On 28 March 2027 London's clocks go from 01:00 to 02:00.
    within = Window.parse("01:10-01:50", "Europe/London")
    opening = at("2027-03-29", "00:10")  # 01:10 of the day after
    assert within.seconds_until_open(opening - timedelta(days=1), most=2 * 86_400) == 86_400
    assert within.is_open(opening)


def test_an_hour_that_comes_twice_counts_twice():
    # On 25 October 2026 London's clocks go from 02:00 back to 01:00.
    assert EARLY.is_open(at("2026-10-25", "00:30"))
    assert not EARLY.is_open(at("2026-10-25", "01:15")), "01:15 for the second time"
    assert EARLY.is_open(at("2026-10-25", "01:45"))


@pytest.mark.parametrize("day", ["2026-01-15", "2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25"])
@pytest.mark.parametrize("window", [NIGHT, EARLY])
def test_waiting_as_long_as_told_never_misses_an_opening(window, day):
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
    for minute in range(0, 24 * 60, 7):
        now = moment + timedelta(minutes=minute)
        seconds = window.seconds_until_open(now, most=600)
        if seconds:
            before = [now + timedelta(seconds=part * seconds / 50) for part in range(50)]
            assert not any(window.is_open(each) for each in before)
            assert seconds == 600 or window.is_open(now + timedelta(seconds=seconds))


@pytest.mark.parametrize("text", ["22:00", "22:00-24:00", "2200-0600", "22:00-22:00", "22:00 - 06:00", ""])
def test_what_is_no_window_is_refused(text):
    with pytest.raises(ValueError, match="window"):
        Window.parse(text, "UTC")


def test_a_time_zone_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="Europe/Lundon"):
        Window.parse("22:00-06:00", "Europe/Lundon")
