"""What a batch needs of the org's day, and when to look at it again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from massive_upload.constants import BATCHES_BETWEEN_LOOKS
from massive_upload.domain.load import Budget
from massive_upload.domain.quota import (
    BATCH_REQUESTS,
    LOOK_AGE,
    LOOK_LASTS,
    LOOKS_OF_A_DAY,
    MOST_BATCH_REQUESTS,
    REFUSED_LOOK_AGE,
    OrgQuota,
    RequestsTold,
    beside_reserve,
    is_denied,
    need_of_a_batch,
    requests_of_a_batch,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = OrgQuota(looked_at=NOW, requests_max=1_005, requests_left=500, batches_max=50, batches_left=9)


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
        (60, 5, 14),
        (61, 5, 15),
        (25 * 1_000, 1_000, 27),
        (5_000, 2, MOST_BATCH_REQUESTS),
    ],
)
def test_a_batch_is_counted_as_what_its_lanes_jobs_have_taken_and_its_results(taken, jobs, requests):
    assert requests_of_a_batch(taken=taken, jobs=jobs) == requests


@pytest.mark.parametrize(
    ("known_left", "told_left", "denied"),
    [
        (500, 136, True),
        (137, 136, True),
        (500, 137, False),
        (136, 100, False),
        (500, None, False),
        (None, 100, False),
    ],
)
def test_what_an_answer_tells_counts_where_a_batch_could_else_begin(known_left, told_left, denied):
    budget = Budget(api_requests_reserve_percent=10, bulk_batches_reserve_percent=20)
    known = replace(SEEN, requests_left=known_left)
    told = None if told_left is None else RequestsTold(allowed=1_005, left=told_left, at=NOW + timedelta(seconds=1))
    assert is_denied(known, budget, requests=12, told=told) is denied


@pytest.mark.parametrize(
    ("looked_at", "allowed", "denied"),
    [(NOW, 1_005, True), (NOW + timedelta(seconds=1), 1_005, False), (None, 1_005, False), (NOW, 5_000, False)],
)
def test_what_was_told_before_a_look_or_of_another_allowance_denies_nothing(looked_at, allowed, denied):
    told = RequestsTold(allowed=allowed, left=100, at=NOW + timedelta(seconds=1))
    assert is_denied(replace(SEEN, looked_at=looked_at), Budget(), requests=12, told=told) is denied


def test_an_allowance_that_the_org_does_not_tell_holds_nobody_up():
    need = need_of_a_batch(OrgQuota(looked_at=NOW), Budget(), requests=8, batches=1)
    assert (need.requests_left, need.batches_left) == (None, None)


@pytest.mark.parametrize(
    ("after", "refused", "is_out_of_date"),
    [
        (timedelta(), 0, False),
        (LOOK_AGE - timedelta(seconds=1), 0, False),
        (LOOK_AGE, 0, True),
        (LOOK_AGE, 1, False),
        (REFUSED_LOOK_AGE - timedelta(seconds=1), 1_000, False),
        (REFUSED_LOOK_AGE, 1, True),
    ],
)
def test_a_look_serves_all_for_some_minutes_or_an_hour_where_they_wait(after, refused, is_out_of_date):
    quota = OrgQuota(looked_at=NOW, begun=BATCHES_BETWEEN_LOOKS, refused=refused)
    assert quota.is_out_of_date(now=NOW + after) == is_out_of_date


def test_a_look_is_no_younger_than_a_lane_has_waited_on_it():
    quota = OrgQuota(looked_at=NOW, refused=1)
    assert quota.is_out_of_date(now=NOW, waited=REFUSED_LOOK_AGE)
    assert not quota.is_out_of_date(now=NOW, waited=REFUSED_LOOK_AGE - timedelta(seconds=1))


def test_a_load_has_what_is_left_beside_the_reserve_and_never_less_than_nothing():
    budget = Budget(api_requests_reserve_percent=10, bulk_batches_reserve_percent=20)
    assert beside_reserve(SEEN, budget) == (500 - 101 - LOOKS_OF_A_DAY, 0)
    assert beside_reserve(replace(SEEN, batches_left=12), budget) == (500 - 101 - LOOKS_OF_A_DAY, 2)
    assert beside_reserve(replace(SEEN, requests_left=None, batches_max=None), budget) == (None, None)


@pytest.mark.parametrize(
    ("quota", "is_untold"),
    [
        (OrgQuota(), False),
        (OrgQuota(looked_at=NOW), True),
        (OrgQuota(looked_at=NOW, requests_left=0), False),
        (OrgQuota(looked_at=NOW, batches_left=0), False),
    ],
)
def test_an_org_that_was_looked_at_and_told_no_allowance_is_one_that_tells_nothing(quota, is_untold):
    assert quota.is_untold is is_untold


def test_a_look_has_served_after_some_batches():
    assert not OrgQuota(looked_at=NOW, begun=BATCHES_BETWEEN_LOOKS - 1).has_served
    assert OrgQuota(looked_at=NOW, begun=BATCHES_BETWEEN_LOOKS).has_served


def test_an_org_that_has_not_answered_yet_is_looked_at_by_one_for_half_a_minute():
    quota = OrgQuota(look_begun_at=NOW)
    assert quota.is_out_of_date(now=NOW)
    assert quota.is_being_looked_at(now=NOW + LOOK_LASTS - timedelta(seconds=1))
    assert not quota.is_being_looked_at(now=NOW + LOOK_LASTS)
    assert not quota.is_being_looked_at(now=NOW, waited=LOOK_LASTS)
    assert not OrgQuota(looked_at=NOW).is_being_looked_at(now=NOW)
