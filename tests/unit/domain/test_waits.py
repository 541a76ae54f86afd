import itertools

from hypothesis import given
from hypothesis import strategies as st

from massive_upload.constants import LONG_WAIT_SECONDS, ORG_WAITS_SECONDS
from massive_upload.domain.waits import (
    first_poll_seconds,
    job_seconds,
    next_poll_seconds,
    org_wait_seconds,
    split_stagger,
)


@given(st.integers(0, 200_000), st.none() | st.integers(0, 100_000))
def test_the_first_poll_is_within_a_second_and_the_longest_wait(rows, last_job_seconds):
    assert 1 <= first_poll_seconds(rows, last_job_seconds) <= LONG_WAIT_SECONDS


def test_the_first_poll_comes_a_quarter_later_than_the_job_before_ended():
    assert first_poll_seconds(10_000, 40) == 50
    assert first_poll_seconds(10_000, 1) == 2
    assert first_poll_seconds(10_000, None) > first_poll_seconds(100, None)


@given(st.integers(0, 100_000))
def test_polls_get_rarer_but_no_rarer_than_the_time_waited_so_far(waited_seconds):
    wait_seconds = next_poll_seconds(waited_seconds)
    assert wait_seconds <= next_poll_seconds(waited_seconds + 1)
    assert 1 <= wait_seconds <= min(LONG_WAIT_SECONDS, max(2, waited_seconds))


@given(st.integers(0, 10_000), st.integers(0, 20_000_000))
def test_a_job_took_no_longer_than_waited_unless_the_org_says_so(waited_seconds, processing_ms):
    seconds = job_seconds(waited_seconds, processing_ms)
    assert seconds >= 1
    assert seconds <= max(1, waited_seconds, -(-processing_ms // 1000))
    assert seconds >= min(waited_seconds, processing_ms // 1000)


def test_a_prediction_that_was_too_long_comes_down_and_one_that_was_too_short_goes_up_at_once():
    predictions = list(itertools.accumulate(range(12), lambda waited, _: job_seconds(waited, 4_000), initial=300))
    assert predictions == sorted(predictions, reverse=True)
    assert predictions[-1] <= 5
    assert job_seconds(2, 90_000) == 90


def test_waits_for_the_org_grow_to_the_last_and_stay_there():
    waits = [org_wait_seconds(count) for count in range(6)]
    assert waits[: len(ORG_WAITS_SECONDS)] == list(ORG_WAITS_SECONDS)
    assert set(waits[len(ORG_WAITS_SECONDS) :]) == {ORG_WAITS_SECONDS[-1]}


@given(st.integers(0, 7 * 86_400))
def test_a_split_stagger_adds_up(start_delay_seconds):
    first_seconds, long_waits = split_stagger(start_delay_seconds)
    assert first_seconds + long_waits * LONG_WAIT_SECONDS == start_delay_seconds
    assert 0 <= first_seconds < LONG_WAIT_SECONDS
