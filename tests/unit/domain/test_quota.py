"""What a batch needs of the org's day, and when to look at it again."""

from datetime import UTC, datetime, timedelta

import pytest

from massive_upload.constants import BATCHES_BETWEEN_LOOKS
from massive_upload.domain.load import Budget
from massive_upload.domain.quota import (
    BATCH_REQUESTS,
    LOOK_AGE,
    MOST_BATCH_REQUESTS,
    OrgQuota,
    need_of_a_batch,
    requests_of_a_batch,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = OrgQuota(looked_at=NOW, looked_by="run-1", requests_max=1_005, requests_left=500, batches_max=50, batches_left=9)


def test_a_batch_may_begin_if_it_leaves_the_reserve():
    budget = Budget(api_requests_reserve_percent=10, bulk_batches_reserve_percent=20)
    need = need_of_a_batch(SEEN, budget, requests=12, batches=3)
    assert (need.requests_left, need.batches_left) == (101 + 24 + 12, 10 + 3)
    assert (need.requests, need.batches) == (12, 3)


@pytest.mark.parametrize(
    ("taken", "jobs", "requests"),
    [
        (3, 0, BATCH_REQUESTS),
        (12, 2, BATCH_REQUESTS),
        (50, 5, 12),
        (51, 5, 13),
        (25 * 1_000, 1_000, 27),
        (5_000, 2, MOST_BATCH_REQUESTS),
    ],
)
def test_a_batch_is_counted_as_what_its_lanes_jobs_have_taken_and_its_results(taken, jobs, requests):
    assert requests_of_a_batch(taken=taken, jobs=jobs) == requests


def test_an_allowance_that_the_org_does_not_tell_holds_nobody_up():
    need = need_of_a_batch(OrgQuota(looked_at=NOW, looked_by="run-1"), Budget(), requests=8, batches=1)
    assert (need.requests_left, need.batches_left) == (None, None)


@pytest.mark.parametrize(
    ("run_id", "after", "begun", "is_out_of_date"),
    [
        ("run-1", timedelta(), 0, False),
        ("run-1", LOOK_AGE - timedelta(seconds=1), BATCHES_BETWEEN_LOOKS - 1, False),
        ("run-1", LOOK_AGE, 0, True),
        ("run-1", timedelta(), BATCHES_BETWEEN_LOOKS, True),
        ("run-2", timedelta(), 0, True),
    ],
)
def test_a_look_serves_one_run_for_some_batches_and_minutes(run_id, after, begun, is_out_of_date):
    quota = OrgQuota(looked_at=NOW, looked_by="run-1", begun=begun)
    assert quota.is_out_of_date(run_id=run_id, now=NOW + after) == is_out_of_date


def test_lanes_that_are_refused_look_once_for_all_of_them():
    refused = [OrgQuota(looked_at=NOW, looked_by="run-1", refused=number) for number in (1, 17, 18)]
    assert [quota.is_worth_a_look(lanes=3) for quota in refused] == [False, False, True]
    assert not refused[0].is_out_of_date(run_id="run-1", now=NOW + LOOK_AGE), "each would look for itself"
