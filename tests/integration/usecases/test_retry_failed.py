"""Rejected rows are sent once more by a run of its own: each by one retry at most, and none is forgotten."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest

from massive_upload.constants import RESUMABLE_DAYS
from massive_upload.contracts import Verdict
from massive_upload.domain.key_digest import KeyDigest
from massive_upload.domain.progress import RunStatus
from massive_upload.errors import RunNotResumable
from tests.integration.adapters.stack import TABLE
from tests.integration.usecases.fuse import Killed
from tests.integration.usecases.kept_rows import receipt, rejected_rows, rows_of
from tests.integration.usecases.world import RUN, World, open_world, paced
from tests.thoroughness import every

RETRY = {"mode": "retry_failed", "of": RUN}
TOO_LONG, NO_PARENT, LOCKED = "STRING_TOO_LONG", "INVALID_FIELD", "UNABLE_TO_LOCK_ROW"


def refused(nth: int, code: str, share: float = 1) -> str:
    action = f"{{row_failures: {{share: {share}, code: {code}}}}}"
    return f"- match: {{object: Opportunity, nth: {nth}}}\n  action: {action}\n"


TWO_CODES = refused(1, TOO_LONG) + refused(2, NO_PARENT)
"""The rows of the first job are rejected with one code, those of the second with another."""
MIXED = refused(1, TOO_LONG) + refused(1, NO_PARENT, share=0.5)
"""All rows of the first job are rejected, some with either code."""


def executed(world: World, start: Mapping[str, object] | None = None, name: str = RUN) -> Verdict:
    verdict = world.execute(start, name)
    assert verdict is not None
    return verdict


def times_sent(world: World) -> Counter[str]:
    """How often each key was in a job that was carried out."""
    ingest = world.server.backend.ingest
    results = [ingest.results(job["id"]) for job in ingest.list(0)[0] if job["state"] == "JobComplete"]
    files = [file for each in results for file in (each.successful(), each.failed())]
    return Counter(row["External_ID__c"] for file in files for row in rows_of(file))


def test_rejected_rows_are_sent_once_more_as_they_were_and_the_run_accounts_for_them():
    with open_world(load=paced(), faults=TWO_CODES) as world:
        first = executed(world)
        assert (first.succeeded, first.rejected) == (10, 20)
        before = receipt(world, RUN)
        assert before["rejected_by_code"] == {TOO_LONG: 10, NO_PARENT: 10}
        retry = executed(world, RETRY, "mended")
        assert (retry.status, retry.source_rows, retry.succeeded, retry.rejected) == ("Completed", 20, 20, 0)
        assert world.loaded_keys == world.keys_of()
        assert (world.run("mended").mode, world.run("mended").retry_of) == ("retry_failed", RUN)
        assert receipt(world, "mended")["retry_of"] == RUN
        assert receipt(world, RUN) == before, "the first run stays as it was"
        assert world.store.partitions(RUN)[0].rejected == 20


def test_what_is_sent_once_more_is_what_was_sent_before():
    with open_world(load=paced()) as world:
        executed(world)
        expected = world.server.backend.digest("Opportunity")
    with open_world(load=paced(), faults=TWO_CODES) as world:
        executed(world)
        executed(world, RETRY, "mended")
        assert world.server.backend.digest("Opportunity") == expected


def test_rows_of_one_code_are_taken_up_alone_and_the_next_retry_takes_the_others():
    with open_world(load=paced(batch_rows=30), faults=MIXED) as world:
        executed(world)
        keys_by_code: dict[str, set[str]] = {}
        for row in rejected_rows(world, RUN):
            keys_by_code.setdefault(row["error_code"], set()).add(row["External_ID__c"])
        assert set(keys_by_code) == {TOO_LONG, NO_PARENT}
        one = executed(world, {**RETRY, "only": TOO_LONG}, "one")
        assert (one.source_rows, one.succeeded) == (len(keys_by_code[TOO_LONG]),) * 2
        assert world.loaded_keys == keys_by_code[TOO_LONG]
        assert world.run("one").retry_only == TOO_LONG
        other = executed(world, RETRY, "other")
        assert other.source_rows == len(keys_by_code[NO_PARENT])
        assert world.loaded_keys == world.keys_of()
        assert set(times_sent(world).values()) == {2}, "once by the run, once by one of its retries"


def test_a_file_with_more_rows_than_a_batch_of_the_retry_is_sent_batch_by_batch():
    with open_world(load=paced(batch_rows=30), faults=refused(1, TOO_LONG)) as world:
        executed(world)
        retry = executed(world, {**RETRY, "pace": {"batch_rows": 7}}, "mended")
        assert (retry.source_rows, retry.succeeded) == (30, 30)
        assert set(times_sent(world).values()) == {2}


def test_each_code_is_taken_up_once_in_whatever_order_people_name_them():
    missing = "REQUIRED_FIELD_MISSING"
    with open_world(load=paced(batch_rows=30), faults=MIXED + refused(1, missing, share=0.25)) as world:
        executed(world)
        rows = Counter(row["error_code"] for row in rejected_rows(world, RUN))
        assert set(rows) == {TOO_LONG, NO_PARENT, missing}
        for code in (TOO_LONG, NO_PARENT):
            assert executed(world, {**RETRY, "only": code}, code).source_rows == rows[code]
        again = executed(world, {**RETRY, "only": TOO_LONG}, "again")
        assert (again.error, again.cause.endswith(f"There are {missing}.")) == ("InvalidInput", True)
        assert executed(world, RETRY, "others").source_rows == rows[missing]
        assert executed(world, RETRY, "none").source_rows == 0
        assert set(times_sent(world).values()) == {2}


@pytest.mark.parametrize("named", [RUN, "second"])
def test_the_next_retry_takes_what_the_one_before_could_not_bring_in_whichever_run_is_named(named):
    with open_world(load=paced(), faults=TWO_CODES + refused(4, TOO_LONG)) as world:
        executed(world)
        second = executed(world, RETRY, "second")
        assert (second.source_rows, second.succeeded, second.rejected) == (20, 10, 10)
        left = {row["External_ID__c"] for row in rejected_rows(world, "second")}
        third = executed(world, {**RETRY, "of": named}, "third")
        assert (third.source_rows, third.succeeded) == (10, 10)
        assert world.run("third").retry_of == RUN
        assert {key for key, times in times_sent(world).items() if times == 3} == left
        fourth = executed(world, {**RETRY, "of": named}, "fourth")
        assert (fourth.next, fourth.status, fourth.source_rows) == ("Succeed", "Completed", 0)


def test_kept_rows_are_taken_up_as_long_as_they_outlive_the_execution_that_sends_them():
    """A retry may be younger than the rows that it sends."""
    with open_world(load=paced(), faults=TWO_CODES) as world:
        executed(world)
        world.started_at += timedelta(days=RESUMABLE_DAYS)
        world.plan(RETRY, "in-time")
        world.abort("in-time", "in-time")
        world.started_at += timedelta(seconds=1)
        for start in (RETRY, {"mode": "resume", "run_id": "in-time"}):
            with pytest.raises(RunNotResumable, match=f"Run {RUN} began more than 60 days ago"):
                world.plan(start, "too-late")


def test_a_retry_has_lanes_batches_attempts_and_a_sweep_of_its_own():
    locked = refused(4, LOCKED) + refused(5, LOCKED)
    load = paced(retry_delays_seconds=(2,))
    with open_world(load=load, faults=TWO_CODES + refused(3, NO_PARENT) + locked) as world:
        executed(world)
        start = {**RETRY, "partitioning": {"count": 2}, "pace": {"batch_rows": 4}}
        retry = executed(world, start, "mended")
        *lanes, sweep = world.store.partitions("mended")
        assert [lane.planned_rows for lane in lanes] == [4 + 4 + 2 + 4, 4 + 2 + 4 + 4 + 2]
        assert all(lane.kept_list for lane in lanes)
        assert (lanes[0].deferred, lanes[0].resent_rows) == (4, 4), "twice in the lane, and once more in the sweep"
        assert [lane.batches for lane in lanes] == [4, 5], "as many whole entries of the list as fit"
        assert (sweep.source_rows, sweep.succeeded) == (4, 4)
        assert (retry.source_rows, retry.succeeded, retry.rejected) == (30, 30, 0)
        assert receipt(world, "mended")["drift"] == {"planned_rows": 30, "read_rows": 30, "more_rows": 0}


def wrong(start: Mapping[str, object], words: str, before: Callable[[World], object] = executed) -> Any:
    return pytest.param(start, words, before, id=words)


def plan_only(world: World) -> None:
    executed(world, {"load": "opportunity", "mode": "plan"})


def left_unfinished(world: World) -> None:
    executed(world)
    world.plan(RETRY, "stopped")
    world.abort("stopped", "stopped")


def moved_to_another_org(world: World) -> None:
    executed(world)
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"RUN#{RUN}"}, "sk": {"S": "META"}},
        UpdateExpression="SET lease_key = :key",
        ExpressionAttributeValues={":key": {"S": "00D000000000000EAA#opportunity"}},
    )


@pytest.mark.parametrize(
    ("start", "words", "before"),
    [
        wrong({**RETRY, "of": "nobody"}, "There is no run 'nobody'"),
        wrong({"mode": "retry_failed"}, "needs the run"),
        wrong({**RETRY, "load": "opportunity"}, "load cannot be given with mode retry_failed"),
        wrong({**RETRY, "sample": {"rows": 1}}, "sample cannot be given"),
        wrong({**RETRY, "partitions": [0]}, "partitions can be given with mode resume only"),
        wrong({"load": "opportunity", "of": RUN}, "of can be given with mode retry_failed only"),
        wrong({"load": "opportunity", "only": TOO_LONG}, "only can be given with mode retry_failed only"),
        wrong({**RETRY, "only": "NO_SUCH_CODE"}, "has the code NO_SUCH_CODE. There are INVALID_FIELD, STRING_TOO_LONG"),
        wrong(RETRY, "has written nothing", plan_only),
        wrong(RETRY, "Run stopped sends rejected rows of run run-1 once more and is Stopped", left_unfinished),
        wrong(RETRY, "the login leads to", moved_to_another_org),
    ],
)
def test_what_cannot_be_retried_is_said_and_nothing_is_sent(start, words, before):
    with open_world(load=paced(), faults=TWO_CODES) as world:
        before(world)
        jobs = world.jobs
        verdict = executed(world, start, "wrong")
        assert (verdict.next, verdict.error) == ("Fail", "InvalidInput")
        assert words in verdict.cause
        assert world.jobs == jobs


def test_a_retry_that_was_stopped_is_resumed_and_then_the_next_may_begin():
    with open_world(load=paced(), faults=TWO_CODES) as world:
        left_unfinished(world)
        resumed = executed(world, {"mode": "resume", "run_id": "stopped"}, "again")
        assert (resumed.run_id, resumed.status, resumed.succeeded) == ("stopped", "Completed", 20)
        assert executed(world, RETRY, "next").source_rows == 0


def test_rows_of_a_stopped_run_that_wait_for_its_sweep_are_left_to_its_resume():
    full = refused(1, LOCKED) + refused(1, "STORAGE_LIMIT_EXCEEDED", share=0.5)
    with open_world(load=paced(batch_rows=30), faults=full) as world:
        stopped = executed(world)
        lane = world.partition()
        assert min(lane.rejected, lane.deferred) > 0
        assert receipt(world, RUN)["rejected_by_code"] == {
            "STORAGE_LIMIT_EXCEEDED": lane.rejected,
            "AWAITS_SWEEP": lane.deferred,
        }
        assert stopped.rejected == 30
        retry = executed(world, RETRY, "mended")
        assert (retry.source_rows, retry.succeeded) == (lane.rejected, lane.rejected)
        resumed = executed(world, {"mode": "resume", "run_id": RUN}, "again")
        assert (resumed.succeeded, resumed.rejected) == (lane.deferred, lane.rejected)
        assert world.loaded_keys == world.keys_of()
        assert executed(world, RETRY, "next").source_rows == 0


def test_the_digests_of_a_run_and_its_retries_add_up_to_that_of_the_target():
    faults = MIXED + refused(2, LOCKED, share=0.5) + refused(4, LOCKED, share=0.5) + refused(5, TOO_LONG, share=0.5)
    with open_world(load=paced(batch_rows=10), faults=faults) as world:
        digests, rows = KeyDigest(), 0
        for start, name in ((None, RUN), (RETRY, "second"), (RETRY, "third")):
            verdict = executed(world, start, name)
            digests += KeyDigest.from_hex(receipt(world, name)["succeeded_keys"])
            rows += verdict.succeeded
            assert digests == KeyDigest.of(world.loaded_keys)
            assert rows == len(world.loaded_keys)


TROUBLED_RETRY = MIXED + refused(3, LOCKED, share=0.8) + refused(4, LOCKED, share=0.8) + refused(4, TOO_LONG, share=0.4)
"""Half of the rows are rejected; of these some fail again for good, some are sent again, some are left to the sweep."""


def crashing_world() -> AbstractContextManager[World]:
    load = paced(batch_rows=15, retry_delays_seconds=(2,))
    return open_world(load=load, faults=TROUBLED_RETRY)


def effects_of_a_retry() -> tuple[int, int]:
    """Side effects of the first run, and of both together."""
    with crashing_world() as world:
        executed(world)
        first = world.fuse.effects
        executed(world, RETRY, "mended")
        lane, sweep = world.store.partitions("mended")
        assert lane.resent_rows
        assert lane.rejected
        assert sweep.succeeded
        return first, world.fuse.effects


def assert_each_row_is_in_one_place(world: World) -> None:
    """Loaded, or rejected by the retry; and the run's figures say so."""
    told = receipt(world, "mended")
    rejected = {row["External_ID__c"] for row in rejected_rows(world, "mended")}
    assert world.run("mended").status is RunStatus.COMPLETED
    assert world.loaded_keys.isdisjoint(rejected)
    assert world.loaded_keys | rejected == world.keys_of()
    assert told["account"]["source_rows"] == world.store.partitions(RUN)[0].rejected
    assert told["account"]["rejected"] == sum(told["rejected_by_code"].values()) == len(rejected)
    first = KeyDigest.from_hex(receipt(world, RUN)["succeeded_keys"])
    assert first + KeyDigest.from_hex(told["succeeded_keys"]) == KeyDigest.of(world.loaded_keys)


def test_a_task_of_a_retry_that_died_after_any_of_its_effects_is_tried_again():
    first, last = effects_of_a_retry()
    for effects in every(29, range(first + 1, last + 1)):
        with crashing_world() as world:
            executed(world)
            world.fuse.blows_after = effects
            executed(world, RETRY, "mended")
            assert world.fuse.has_blown
            assert_each_row_is_in_one_place(world)


def test_a_retry_whose_execution_died_after_any_effect_is_finished_and_resumed_or_begun_anew():
    first, last = effects_of_a_retry()
    for effects in every(31, range(first + 1, last + 1)):
        with crashing_world() as world:
            executed(world)
            world.fuse.blows_after, world.fuse.error = effects, Killed
            with pytest.raises(Killed):
                executed(world, RETRY, "mended")
            world.abort("mended", "mended")
            run = world.store.run("mended")
            if run is None or run.plan_name is None:
                assert world.store.retries_of(RUN) == [], "a retry takes rows up once its plan counts"
                continue
            assert world.store.retries_of(RUN) == ["mended"]
            if run.status is not RunStatus.COMPLETED:
                executed(world, {"mode": "resume", "run_id": "mended"}, "again")
            assert_each_row_is_in_one_place(world)
