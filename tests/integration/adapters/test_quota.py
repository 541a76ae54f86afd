"""The item that counts what is left of an org's day, while lanes look at the org."""

from datetime import UTC, datetime, timedelta

from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.domain.quota import OrgQuota

ORG = "00D"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = FIRST + timedelta(milliseconds=1)


def known(store: DynamoDbProgress) -> OrgQuota:
    found = store.quota(ORG)
    assert found is not None
    return found


def test_one_of_those_that_read_the_same_begins_a_look(store):
    assert store.begin_look(ORG, None, FIRST)
    assert not store.begin_look(ORG, None, SECOND)
    died = known(store)
    assert store.begin_look(ORG, died, SECOND)
    assert not store.begin_look(ORG, died, SECOND)
    store.end_look(ORG, SECOND, {"batches_max": 9, "batches_left": 5})
    assert not store.begin_look(ORG, died, SECOND)


def test_a_look_changes_nothing_before_the_org_has_answered(store):
    store.begin_look(ORG, None, FIRST)
    before = store.end_look(ORG, FIRST, {"batches_max": 9, "batches_left": 5})
    assert store.begin_look(ORG, before, SECOND)
    assert known(store) == OrgQuota(looked_at=FIRST, look_begun_at=SECOND, batches_max=9, batches_left=5)


def test_the_answer_of_the_look_that_began_last_counts_whenever_it_comes(store):
    store.begin_look(ORG, None, FIRST)
    store.begin_look(ORG, known(store), SECOND)
    slow = store.end_look(ORG, FIRST, {"batches_max": 9, "batches_left": 5})
    assert slow.batches_left == 5, "nobody knows better yet"
    assert store.end_look(ORG, SECOND, {"batches_max": 9, "batches_left": 4}).batches_left == 4
    assert store.end_look(ORG, FIRST, {"batches_max": 9, "batches_left": 5}).batches_left == 4


def test_an_answer_that_tells_less_is_all_that_is_known_and_none_leaves_what_was(store):
    store.begin_look(ORG, None, FIRST)
    store.end_look(ORG, FIRST, {"requests_max": 100, "requests_left": 50})
    assert store.end_look(ORG, SECOND, None) == OrgQuota(looked_at=SECOND, requests_max=100, requests_left=50)
    third = SECOND + timedelta(seconds=1)
    assert store.end_look(ORG, third, {}) == OrgQuota(looked_at=third)
