"""The item that counts what is left of an org's day, while lanes look at the org."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.domain.quota import Need, OrgQuota

ORG = "00D"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = FIRST + timedelta(milliseconds=1)
THIRD = SECOND + timedelta(seconds=1)
REQUESTS = 8


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
    store.end_look(ORG, died, SECOND, {"batches_max": 9, "batches_left": 5})
    assert not store.begin_look(ORG, died, SECOND)


def test_a_look_changes_nothing_before_the_org_has_answered(store):
    store.begin_look(ORG, None, FIRST)
    before = store.end_look(ORG, None, FIRST, {"batches_max": 9, "batches_left": 5})
    assert store.begin_look(ORG, before, SECOND)
    assert known(store) == OrgQuota(looked_at=FIRST, look_begun_at=SECOND, batches_max=9, batches_left=5)


def test_the_answer_of_the_look_that_began_last_counts_whenever_it_comes(store):
    store.begin_look(ORG, None, FIRST)
    died = known(store)
    store.begin_look(ORG, died, SECOND)
    slow = store.end_look(ORG, None, FIRST, {"batches_max": 9, "batches_left": 5})
    assert slow.batches_left == 5, "nobody knows better yet"
    assert store.end_look(ORG, died, SECOND, {"batches_max": 9, "batches_left": 4}).batches_left == 4
    assert store.end_look(ORG, None, FIRST, {"batches_max": 9, "batches_left": 5}).batches_left == 4


def test_an_answer_that_tells_less_is_all_that_is_known_and_a_look_without_one_leaves_what_was(store):
    store.begin_look(ORG, None, FIRST)
    told = store.end_look(ORG, None, FIRST, {"requests_max": 100, "requests_left": 50})
    store.begin_look(ORG, told, SECOND)
    store.give_up_look(ORG, SECOND)
    assert known(store) == told == OrgQuota(looked_at=FIRST, requests_max=100, requests_left=50)
    assert store.end_look(ORG, told, THIRD, {}) == OrgQuota(looked_at=THIRD)


def test_a_look_is_given_up_by_its_own_lane_alone(store):
    store.begin_look(ORG, None, FIRST)
    store.begin_look(ORG, known(store), SECOND)
    store.give_up_look(ORG, FIRST)
    assert known(store).look_begun_at == SECOND


def test_what_is_taken_while_an_answer_is_late_is_taken_off_it(store):
    store.begin_look(ORG, None, FIRST)
    told = store.end_look(ORG, None, FIRST, {"batches_max": 90, "batches_left": 50})
    take(store, batches=3)
    seen = known(store)
    store.begin_look(ORG, seen, SECOND)
    take(store, batches=2)
    take(store, batches=4)
    answer = {"requests_max": 200, "requests_left": 100, "batches_max": 90, "batches_left": 40}
    late = store.end_look(ORG, seen, SECOND, answer)
    assert (told.batches_left, seen.batches_left) == (50, 47)
    assert (late.batches_left, late.requests_left) == (40 - 6, 100 - 2 * REQUESTS)
    assert late.begun == 0


def test_what_is_taken_while_two_looks_are_late_is_taken_off_each(store):
    """The first look's answer comes while the second one's is late, too."""
    store.begin_look(ORG, None, FIRST)
    told = store.end_look(ORG, None, FIRST, {"batches_max": 90, "batches_left": 50})
    store.begin_look(ORG, told, SECOND)
    take(store, batches=1)
    seen = known(store)
    store.begin_look(ORG, seen, THIRD)
    take(store, batches=2)
    assert store.end_look(ORG, told, SECOND, {"batches_max": 90, "batches_left": 45}).batches_left == 45 - 3
    take(store, batches=4)
    assert store.end_look(ORG, seen, THIRD, {"batches_max": 90, "batches_left": 44}).batches_left == 44 - 6


def test_who_has_to_look_again_finds_no_look_and_all_else(store):
    store.look_again(ORG)
    assert store.quota(ORG) is None
    store.begin_look(ORG, None, FIRST)
    told = store.end_look(ORG, None, FIRST, {"batches_max": 9, "batches_left": 5})
    store.look_again(ORG)
    assert known(store) == replace(told, looked_at=None)
    assert store.begin_look(ORG, known(store), SECOND)
    assert store.end_look(ORG, told, SECOND, {"batches_max": 9, "batches_left": 4}).looked_at == SECOND


def test_lanes_that_change_it_at_the_same_time_are_in_no_transactions_which_would_cancel_one_another(dynamodb, store):
    called: list[str] = []
    dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: called.append(model.name))
    store.begin_look(ORG, None, FIRST)
    told = store.end_look(ORG, None, FIRST, {"batches_max": 9, "batches_left": 1})
    store.begin_look(ORG, told, SECOND)
    store.give_up_look(ORG, SECOND)
    take(store, batches=1)
    assert not store.take_quota(ORG, Need(requests_left=None, batches_left=1, requests=REQUESTS, batches=1))
    store.look_again(ORG)
    assert known(store).refused == 1
    assert called.count("UpdateItem") == 8
    assert set(called) == {"UpdateItem", "GetItem"}


def take(store: DynamoDbProgress, *, batches: int) -> None:
    need = Need(requests_left=None, batches_left=0, requests=REQUESTS, batches=batches)
    assert store.take_quota(ORG, need)
