import bisect
import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massive_upload.constants import LONG_WAIT_SECONDS, ORG_WAITS_SECONDS, RETRY_WAITS_SECONDS
from massive_upload.domain.waits import (
    Look,
    first_poll_seconds,
    job_seconds,
    longest_wait_seconds,
    next_poll_seconds,
    org_wait_seconds,
    plan_wait_seconds,
    split_stagger,
    unbegun_poll_seconds,
    unqueued_seconds,
)
from massive_upload.salesforce.bulk import Job, JobState


@given(st.integers(0, 200_000), st.none() | st.integers(0, 100_000), st.none() | st.integers(0, 200_000))
def test_the_first_poll_is_within_a_second_and_the_longest_wait(rows, last_seconds, last_rows):
    assert 1 <= first_poll_seconds(rows, last_seconds, last_rows) <= LONG_WAIT_SECONDS


def test_the_first_poll_comes_a_little_later_than_the_jobs_rows_are_expected_to_be_done():
    assert first_poll_seconds(10_000, 300, 10_000) == 303
    assert first_poll_seconds(5_000, 160, 10_000) == 81
    assert first_poll_seconds(3, 160, 10_000) == 2
    assert first_poll_seconds(10_000, None, None) > first_poll_seconds(100, None, None)


@pytest.mark.parametrize("rows", [11_000, 20_000])
def test_a_job_of_far_fewer_rows_says_nothing_of_when_to_look_first(rows):
    """Its few seconds are those of the queue and of the calls, which a larger job takes once, too."""
    assert first_poll_seconds(10_000, 7, 1_000) == 71
    assert first_poll_seconds(rows, 2, 10, is_paired=True) == first_poll_seconds(rows, None, None, is_paired=True)


@pytest.mark.parametrize("active_percent", [50, 80, 100])
@pytest.mark.parametrize("row_ms", [5, 6, 8, 10, 15])
def test_a_job_of_ordinary_length_is_found_ended_at_the_second_look_by_a_lane_that_knows_nothing(
    row_ms, active_percent
):
    looks = looks_at(10_000, row_ms=row_ms, queue_seconds=1, active_percent=active_percent)
    assert len(looks) <= 2
    ended_at = 1 + 10_000 * row_ms / 1000
    assert looks[-1] - ended_at <= 0.1 * ended_at


@pytest.mark.parametrize("tells_time_of", ["counted", "now"])
@pytest.mark.parametrize("rows", [4_000, 5_000, 7_000, 10_000])
@pytest.mark.parametrize("row_ms", [8, 15, 20, 25, 30, 50])
def test_a_lane_that_knows_nothing_is_idle_for_less_than_a_tenth_of_its_first_jobs_time(row_ms, rows, tells_time_of):
    """An org counts whole chunks; the time that it tells may be that of these alone, or include the one it works on."""
    looks = looks_at(rows, row_ms=row_ms, queue_seconds=1, tells_time_now=tells_time_of == "now")
    ended_at = 1 + rows * row_ms / 1000
    assert len(looks) <= 3
    assert looks[-1] - ended_at <= 0.1 * looks[-1]


@pytest.mark.parametrize(("queue_seconds", "most_looks"), [(60, 3), (150, 5), (300, 8), (450, 11)])
def test_a_job_that_waited_in_the_queue_is_foreseen_by_its_pace_since_it_began(queue_seconds, most_looks):
    looks = looks_at(10_000, row_ms=15, queue_seconds=queue_seconds)
    ended_at = queue_seconds + 150
    assert len(looks) <= most_looks
    assert looks[-1] - ended_at <= 0.05 * ended_at


@pytest.mark.parametrize("queue_seconds", [1, 60, 149, 150, 151, 290, 310, 450, 595])
def test_where_the_job_before_is_known_a_wait_in_the_queue_costs_a_look_for_each_such_job_and_no_time(queue_seconds):
    looks = looks_at(10_000, row_ms=15, queue_seconds=queue_seconds, job_seconds=unqueued_seconds(600, 150_000))
    ended_at = queue_seconds + 150
    assert len(looks) <= 3 + queue_seconds // 150
    assert looks[-1] - ended_at <= 0.05 * ended_at


@pytest.mark.parametrize("queue_seconds", [1, 60, 150, 170, 250, 310, 450, 520])
def test_the_rest_of_a_job_that_was_in_the_queue_is_known_from_the_one_before_where_the_org_does_not_say(queue_seconds):
    looks = looks_at(10_000, row_ms=15, queue_seconds=queue_seconds, active_percent=0, job_seconds=152)
    ended_at = queue_seconds + 150
    assert len(looks) <= 3 + queue_seconds // 150
    assert looks[-1] - ended_at <= 0.05 * ended_at


@pytest.mark.parametrize(("row_ms", "most_looks"), [(8, 2), (10, 2), (15, 2), (17, 3), (30, 3), (50, 3)])
def test_a_second_or_third_look_finds_a_job_ended_although_the_org_does_not_work_evenly(row_ms, most_looks):
    drawn = random.Random(row_ms)
    jobs = [looks_at(10_000, row_ms=row_ms, queue_seconds=1, drawn=drawn) for _ in range(200)]
    assert sum(len(looks) > most_looks for looks in jobs) <= 4


def looks_at(
    rows: int,
    *,
    row_ms: int,
    queue_seconds: int,
    active_percent: int = 100,
    job_seconds: int | None = None,
    drawn: random.Random | None = None,
    tells_time_now: bool = False,
) -> list[int]:
    """When a lane looks at a job that is written in chunks of 200 rows, until it has ended.

    It knows how long a job like it takes that does not wait in the queue, or nothing.
    Of the time that each chunk takes, the org says that it has been active for a part only; the time is up to a tenth
    more or less where it is drawn. The time told is that of the chunks that are counted, or of the one at work, too.
    """
    times_ms = [200 * row_ms * (drawn.uniform(0.9, 1.1) if drawn else 1) for _ in range(rows // 200)]
    ends_ms = list(itertools.accumulate(times_ms))
    looks, next_seconds = [Look()], first_poll_seconds(rows, job_seconds, rows)
    while next_seconds < queue_seconds + ends_ms[-1] / 1000:
        chunks = bisect.bisect_right(ends_ms, max(0, next_seconds - queue_seconds) * 1000)
        taken_ms = max(0, next_seconds - queue_seconds) * 1000 if tells_time_now else int(sum(times_ms[:chunks]))
        job = Job(
            id="750000000000001AAA",
            state=JobState.IN_PROGRESS,
            total_processing_ms=taken_ms,
            api_active_processing_ms=taken_ms * active_percent // 100,
        )
        looks.append(Look(next_seconds, 200 * chunks))
        next_seconds += next_poll_seconds(
            looks[-1],
            looks[-2],
            rows=rows,
            worked_ms=job.worked_ms,
            unbegun_seconds=unbegun_poll_seconds(rows, job_seconds, rows),
        )
    return [*(look.waited_seconds for look in looks[1:]), next_seconds]


def next_poll(
    waited_seconds: int,
    *,
    processed: int,
    before_seconds: int = 0,
    before_processed: int = 0,
    unbegun_seconds: int = 300,
    **job: Any,
) -> int:
    """The next wait for a job of which this is known at two looks."""
    before = Look(before_seconds, before_processed) if before_seconds else Look()
    look = Look(waited_seconds, processed)
    return next_poll_seconds(look, before, unbegun_seconds=unbegun_seconds, **job)


def test_a_job_is_foreseen_by_its_latest_pace_and_one_that_got_no_further_is_given_a_part_of_the_time_waited():
    assert next_poll(200, rows=10_000, processed=5_000, before_seconds=100) == 105
    assert next_poll(200, rows=20_000, processed=10_000, before_seconds=100, is_paired=True) == 101
    assert next_poll(200, rows=10_000, processed=6_000, before_seconds=100, before_processed=4_000) == 210
    assert next_poll(200, rows=10_000, processed=4_000, before_seconds=100, before_processed=4_000) == 20


def test_a_pace_that_few_chunks_tell_takes_the_one_that_is_not_counted_yet_to_be_nearly_done():
    assert next_poll(48, rows=9_400, processed=200, worked_ms=5_900) == 142
    assert next_poll(48, rows=9_400, processed=2_800, worked_ms=14_000) == 32
    assert next_poll(48, rows=9_400, processed=3_000, worked_ms=15_000) == 33, "but of many it takes the counted ones"


def test_a_wait_in_the_queue_is_not_expected_of_the_next_job():
    assert unqueued_seconds(600, 150_000) == 152
    assert unqueued_seconds(165, 150_000) == 165, "a second in the queue, and a look that comes late, are in every job"
    assert unqueued_seconds(600, 0) == 600, "where the org does not say how long it has worked"
    assert unqueued_seconds(2_000, 150_000) == 500, "and one that waits for many has four looks or so"
    assert unqueued_seconds(3_600, 50_000, before_seconds=52) == 208, "not after an hour in the queue"
    assert unqueued_seconds(3_600, 50_000, before_seconds=100) == 400, "but four times what the one before took"
    assert unqueued_seconds(3_600, 50_000) == 208, "nor where that was the lane's first job"
    assert unqueued_seconds(0, 5_000) == 0
    assert unqueued_seconds(5, 4_000) == 5, "never longer than it took"


def test_a_job_that_was_in_the_queue_took_as_long_as_it_lived():
    assert job_seconds(0, 310, 150_000, life_seconds=303) == 298
    assert job_seconds(0, 152, 150_000, life_seconds=154) == job_seconds(0, 152, 150_000)
    assert job_seconds(290, 310, 150_000, life_seconds=280) == 292
    assert job_seconds(0, 100, 0, life_seconds=65) == 60
    assert job_seconds(0, 53, 31_500, life_seconds=31) == 32, "and no longer, however late it was looked at"
    assert job_seconds(0, 100, 0, life_seconds=1_000) == 98, "a life that holds a long upload says nothing"
    assert job_seconds(0, 101, 100_000, life_seconds=130) == 100, "nor does it make the next look later"
    assert job_seconds(290, 310, 0, life_seconds=292) == 290, "at the look before it had not ended"


@pytest.mark.parametrize("life_seconds", [0, 1, 5, 19, 20])
def test_the_time_of_a_job_s_last_change_that_lies_before_its_end_tells_nothing(life_seconds):
    """Of an org that says when the job was closed, and not when it ended."""
    assert job_seconds(20, 24, 0, life_seconds=life_seconds) == job_seconds(20, 24, 0) == 22
    assert job_seconds(20, 24, 21_000, life_seconds=life_seconds) == job_seconds(20, 24, 21_000) == 21
    if life_seconds <= 5:
        assert job_seconds(0, 24, 0, life_seconds=life_seconds) == job_seconds(0, 24, 0) == 22


def test_what_the_org_says_of_a_job_of_several_batches_does_not_tell_how_long_it_took():
    for processing_ms in (50_000, 500_000):
        assert job_seconds(0, 108, processing_ms, batches=5) == job_seconds(0, 108, 0, batches=5) == 106
    assert job_seconds(0, 108, 500_000, life_seconds=106, batches=5) == 101, "but the job's life does"


def test_work_that_is_longer_than_the_job_is_added_up_and_does_not_tell_how_long_it_took():
    """Four thousand rows at 12 ms, three at a time: 16 s, which the org calls 48."""
    assert job_seconds(0, 22, 48_000, life_seconds=18) == job_seconds(0, 22, 0, life_seconds=18) == 13
    assert job_seconds(0, 22, 48_000) == job_seconds(0, 22, 0) == 20
    assert job_seconds(0, 22, 20_000, life_seconds=18) == 20, "a second or two more is no sum"
    assert job_seconds(0, 22, 21_000, life_seconds=18) == 13
    assert job_seconds(0, 150, 153_000) == 153, (
        "a machine that is slow between two looks waits for longer than it counts"
    )


@pytest.mark.parametrize(("job_seconds", "job_rows"), [(None, None), (7, 1_000), (53, 10_000)])
def test_batches_are_expected_to_be_written_side_by_side_unless_they_share_a_parent(job_seconds, job_rows):
    one = first_poll_seconds(10_000, job_seconds, job_rows)
    assert first_poll_seconds(50_000, job_seconds, job_rows) == one
    assert first_poll_seconds(20_000, job_seconds, job_rows, is_paired=True) == pytest.approx(2 * one, abs=3)


def test_a_smaller_job_is_looked_at_early_as_nobody_knows_whether_batches_waited_for_the_org():
    assert first_poll_seconds(50_000, 53, 50_000) == 54
    assert first_poll_seconds(10_000, 53, 50_000) == 12


def test_a_pair_is_expected_to_take_as_long_as_the_one_before():
    assert first_poll_seconds(20_000, 100, 20_000, is_paired=True) == 101
    assert first_poll_seconds(10_000, 100, 20_000, is_paired=True) == 51


@given(st.integers(0, 100_000), st.integers(0, 1_000))
def test_a_job_that_has_not_begun_is_given_as_long_again_or_what_it_takes_once_it_has(waited_seconds, unbegun_seconds):
    wait_seconds = next_poll(waited_seconds, rows=100, processed=0, unbegun_seconds=unbegun_seconds)
    assert wait_seconds == min(max(2, min(unbegun_seconds, waited_seconds), waited_seconds // 10), LONG_WAIT_SECONDS)


def test_a_job_that_is_overdue_is_given_a_tenth_of_its_time_and_then_as_long_as_it_has_been_overdue():
    looks = [first_poll_seconds(10_000, 150, 10_000)]
    again_seconds = unbegun_poll_seconds(10_000, 150, 10_000)
    while looks[-1] < 600:
        wait_seconds = next_poll(looks[-1], rows=10_000, processed=0, unbegun_seconds=again_seconds, is_overdue=True)
        looks.append(looks[-1] + wait_seconds)
    assert looks == [151, 166, 182, 213, 275, 399, 550, 701]


@given(st.integers(0, 100_000))
def test_a_job_whose_rows_are_all_tried_ends_any_moment(waited_seconds):
    wait_seconds = next_poll(waited_seconds, rows=100, processed=100, unbegun_seconds=500)
    assert wait_seconds == min(max(2, waited_seconds // 10), LONG_WAIT_SECONDS)


def test_a_small_job_that_ends_a_little_late_is_not_given_a_part_of_the_time_of_a_large_one():
    """The org takes it up after 4 s; the lane's job before had 10,000 rows and took 150 s."""
    again_seconds = unbegun_poll_seconds(20, 150, 10_000)
    looks = [first_poll_seconds(20, 150, 10_000)]
    while looks[-1] < 5:
        looks.append(looks[-1] + next_poll(looks[-1], rows=20, processed=0, unbegun_seconds=again_seconds))
    assert looks == [2, 4, 8]


def test_a_small_job_in_the_queue_is_not_looked_at_each_time_that_it_could_have_ended():
    assert unbegun_poll_seconds(100, 150, 10_000) == 15
    assert unbegun_poll_seconds(5_000, 150, 10_000) == first_poll_seconds(5_000, 150, 10_000) == 76
    assert unbegun_poll_seconds(100, None, None) == first_poll_seconds(100, None, None)
    assert unbegun_poll_seconds(20_000, None, None, is_paired=True) == 2 + 100


def test_a_job_at_work_is_given_the_time_that_its_rows_still_need():
    assert next_poll(90, rows=10_000, processed=9_000) == 11
    assert next_poll(10, rows=10_000, processed=5_000) == 11
    assert next_poll(100, rows=10_000, processed=200, worked_ms=90_000) == LONG_WAIT_SECONDS


def test_a_job_that_was_in_the_queue_is_given_the_time_that_it_works_not_the_time_that_it_waited():
    """A lane's job waited for 44 s, and the look at it came when it had been written for 4 s."""
    assert next_poll(48, rows=9_400, processed=800, worked_ms=4_000) == 36
    by_the_one_before = next_poll(48, rows=9_400, processed=800, unbegun_seconds=50)
    assert by_the_one_before == 48, "where the org does not say"
    assert next_poll(96, rows=9_400, processed=800, before_seconds=48, worked_ms=4_000) == 36
    assert next_poll(52, rows=10_000, processed=3_400, worked_ms=51_000) == 103
    assert next_poll(104, rows=10_000, processed=6_800, before_seconds=52, before_processed=3_400) == 51


waits = st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)).map(sorted)


@given(waits, st.integers(0, 20_000_000))
def test_a_job_took_no_longer_than_waited_but_for_what_a_slow_machine_does_not_count(looks, processing_ms):
    before_seconds, waited_seconds = looks
    seconds = job_seconds(before_seconds, waited_seconds, processing_ms)
    assert max(1, before_seconds) <= seconds <= max(1, waited_seconds + waited_seconds // 10 + 2)
    if processing_ms <= 1000 * waited_seconds:
        assert seconds >= processing_ms // 1000


def next_prediction(before: int, truth_seconds: int, *, is_told: bool = True) -> int:
    """What a job of one length, and one row, teaches that is first looked at when the prediction says so."""
    looks, again_seconds = [0, first_poll_seconds(1, before, 1)], unbegun_poll_seconds(1, before, 1)
    while looks[-1] < truth_seconds:
        more_seconds = next_poll(looks[-1], rows=1, processed=0, unbegun_seconds=again_seconds, is_overdue=not is_told)
        looks.append(looks[-1] + more_seconds)
    return job_seconds(looks[-2], looks[-1], truth_seconds * 1000 if is_told else 0)


@given(st.integers(1, 500), st.integers(1, 500))
def test_an_org_that_tells_nothing_of_its_time_is_not_waited_for_longer_and_longer(first_seconds, truth_seconds):
    predictions = list(
        itertools.accumulate(
            range(100), lambda before, _: next_prediction(before, truth_seconds, is_told=False), initial=first_seconds
        )
    )
    assert all(after < before for before, after in itertools.pairwise(predictions) if before > max(1, truth_seconds))
    assert first_seconds > 2 * truth_seconds or predictions[-1] <= truth_seconds + max(3, truth_seconds // 10)


@given(st.integers(1, 500), st.integers(1, 500))
def test_predictions_come_near_the_truth_within_a_few_jobs_and_one_look_is_then_enough(first_seconds, truth_seconds):
    predictions = list(
        itertools.accumulate(range(4), lambda before, _: next_prediction(before, truth_seconds), initial=first_seconds)
    )
    poll_seconds = first_poll_seconds(1, predictions[-1], 1)
    assert truth_seconds <= poll_seconds <= truth_seconds + max(3, truth_seconds // 20)


def test_waits_for_the_org_grow_to_the_last_and_stay_there():
    waits = [org_wait_seconds(count) for count in range(6)]
    assert waits[: len(ORG_WAITS_SECONDS)] == list(ORG_WAITS_SECONDS)
    assert set(waits[len(ORG_WAITS_SECONDS) :]) == {ORG_WAITS_SECONDS[-1]}


def test_a_plan_waits_as_a_task_is_tried_again_and_then_as_a_slice_waits():
    waits = [plan_wait_seconds(count) for count in range(8)]
    assert waits == [*RETRY_WAITS_SECONDS, *ORG_WAITS_SECONDS, ORG_WAITS_SECONDS[-1], ORG_WAITS_SECONDS[-1]]


def test_the_longest_of_some_waits_ends_with_patience_and_before_a_flag_is_unseen_for_long():
    assert longest_wait_seconds(10, 30, 20, patience_left_seconds=100) == 30
    assert longest_wait_seconds(10, 30, patience_left_seconds=20) == 20
    assert longest_wait_seconds(10, 3_600, patience_left_seconds=7_200) == LONG_WAIT_SECONDS


@given(st.integers(0, 7 * 86_400))
def test_a_split_stagger_adds_up(start_delay_seconds):
    first_seconds, long_waits = split_stagger(start_delay_seconds)
    assert first_seconds + long_waits * LONG_WAIT_SECONDS == start_delay_seconds
    assert 0 <= first_seconds < LONG_WAIT_SECONDS
