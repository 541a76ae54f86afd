"""The lock model on its own, and through whole jobs."""

from collections.abc import Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson
import pytest

from local.org import generated_opportunities
from local.org.locks import Scheduler
from tests.unit.org.support import REQUIRED, from_csv, to_csv


@dataclass
class FakeChunk:
    parents: Sequence[tuple[str, ...]]
    ends: list[float]
    locked_out: list[int]

    def finish(self, *, at: float, running_seconds: float, locked_out: Mapping[int, tuple[str, ...]]) -> None:
        self.ends.append(at)
        self.locked_out.extend(locked_out)


@dataclass
class FakeBatch:
    chunks: list[Sequence[tuple[str, ...]]]
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    locked_out: list[int] = field(default_factory=list)

    def next_chunk(self, at: float) -> FakeChunk | None:
        if not self.chunks:
            return None
        self.starts.append(at)
        return FakeChunk(self.chunks.pop(0), self.ends, self.locked_out)


def scheduler(workers: int = 10, *, locks: bool = True) -> Scheduler:
    return Scheduler(workers=workers, row_seconds=1.0, lock_wait_seconds=10.0, locks=locks)


def run(model: Scheduler, *batches: FakeBatch) -> None:
    for batch in batches:
        model.submit(batch, 0.0)
    model.advance(10_000.0)


def rows(count: int, *parents: str) -> list[tuple[str, ...]]:
    return [parents] * count


def test_chunks_of_a_batch_run_one_after_the_other():
    batch = FakeBatch([rows(2), rows(3)])
    run(scheduler(), batch)
    assert batch.ends == [2.0, 5.0]


def test_batches_without_common_parents_run_side_by_side():
    one, other = FakeBatch([rows(4, "a")]), FakeBatch([rows(4, "b")])
    run(scheduler(), one, other)
    assert one.ends == other.ends == [4.0]


def test_batches_wait_for_a_worker_in_the_order_of_their_arrival():
    batches = [FakeBatch([rows(2)]) for _ in range(3)]
    run(scheduler(workers=1), *batches)
    assert [batch.ends for batch in batches] == [[2.0], [4.0], [6.0]]


def test_a_chunk_waits_for_a_lock_that_another_holds():
    one, other = FakeBatch([rows(4, "a")]), FakeBatch([rows(4, "a", "b")])
    run(scheduler(), one, other)
    assert (one.ends, other.ends) == ([4.0], [8.0])
    assert other.locked_out == []


def test_the_lock_goes_to_who_waited_longest():
    batches = [FakeBatch([rows(3, "a")]) for _ in range(3)]
    run(scheduler(), *batches)
    assert [batch.ends for batch in batches] == [[3.0], [6.0], [9.0]]


class LastFirst(Random):
    """A lot that whoever came last wins."""

    def shuffle(self, x: MutableSequence[Any]) -> None:
        x.reverse()


@pytest.mark.parametrize(("has_barging", "locked_out"), [(False, []), (True, [0, 1])])
def test_a_batch_that_may_take_its_lock_anew_keeps_another_out_until_its_wait_is_over(has_barging, locked_out):
    holder, waiter = FakeBatch([rows(4, "a")] * 4), FakeBatch([rows(2, "a")])
    model = Scheduler(workers=2, row_seconds=1.0, lock_wait_seconds=10.0, lottery=LastFirst(), has_barging=has_barging)
    run(model, holder, waiter)
    assert waiter.locked_out == locked_out
    assert holder.ends[0] == 4.0


def test_after_ten_seconds_the_rows_whose_parent_is_still_locked_fail_and_the_others_are_written():
    holder = FakeBatch([rows(30, "a")])
    waiter = FakeBatch([[("b",), ("a",), ("b", "a"), (), ("c",)]])
    run(scheduler(), holder, waiter)
    assert waiter.locked_out == [1, 2]
    assert waiter.ends == [13.0]


def test_a_chunk_whose_rows_are_all_locked_out_ends_when_its_wait_does():
    holder, waiter = FakeBatch([rows(30, "a")]), FakeBatch([rows(2, "a"), rows(1, "z")])
    run(scheduler(), holder, waiter)
    assert waiter.locked_out == [0, 1]
    assert waiter.ends == [10.0, 11.0]


def test_without_locks_nothing_waits():
    one, other = FakeBatch([rows(4, "a")]), FakeBatch([rows(4, "a")])
    run(scheduler(locks=False), one, other)
    assert one.ends == other.ends == [4.0]


def test_nothing_happens_before_its_time():
    batch = FakeBatch([rows(2), rows(2)])
    model = scheduler()
    model.submit(batch, 5.0)
    model.advance(4.9)
    assert batch.starts == []
    model.advance(8.9)
    assert (batch.starts, batch.ends) == ([5.0, 7.0], [7.0])


def lanes_of_skewed_parents(org, lanes: int, rows_in_lane: int, order_by: str) -> list[list[dict[str, str]]]:
    """Opportunities cut into lanes of equal size in the order of a column."""
    sql = f'SELECT "ExternalId__c", coalesce("AccountKey__c", \'\') FROM "Opportunity__dlm" ORDER BY {order_by}, 1'
    result = org.backend.datacloud.submit(sql, [], None)
    pages = [org.backend.datacloud.rows(result.status["queryId"], n * rows_in_lane, rows_in_lane) for n in range(lanes)]
    found = [orjson.loads(page.json) for page, _ in pages]
    return [
        [{"External_ID__c": key, **REQUIRED, "Account.External_ID__c": parent} for key, parent in lane]
        for lane in found
    ]


@pytest.fixture
def skewed(make_org):
    source = generated_opportunities(4000, accounts=200, rejected_share=0)
    return make_org(source=source, row_ms=5.0, workers=20)


def outcomes(org, lanes: list[list[dict[str, str]]]) -> list[str]:
    """Load the lanes side by side, without stagger; returns the errors of all rows."""
    jobs = [org.submit(to_csv(lane)) for lane in lanes]
    for job_id in jobs:
        assert org.finish(job_id)["state"] == "JobComplete"
    results = [from_csv(org.backend.ingest.results(job_id).failed()) for job_id in jobs]
    return [row["sf__Error"] for rows_of_job in results for row in rows_of_job]


def test_ranges_of_keys_over_skewed_parents_lock_each_other_out(skewed):
    errors = outcomes(skewed, lanes_of_skewed_parents(skewed, 16, 250, '"ExternalId__c"'))
    assert errors
    text = "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 1 records: 001"
    assert all(error.startswith(text) and error.endswith(":--") for error in errors)
    assert skewed.backend.statistics()["rows_locked_out"] == len(errors)


def test_one_lane_alone_is_never_locked_out(skewed):
    (everything,) = lanes_of_skewed_parents(skewed, 1, 4000, '"ExternalId__c"')
    assert outcomes(skewed, [everything]) == []


def test_lanes_of_whole_parents_are_not_locked_out(skewed):
    (everything,) = lanes_of_skewed_parents(skewed, 1, 4000, '"AccountKey__c"')
    lanes: list[list[dict[str, str]]] = [[] for _ in range(4)]
    for row in everything:
        lanes[hash_of(row["Account.External_ID__c"]) % 4].append(row)
    assert min(map(len, lanes)) > 0
    assert outcomes(skewed, lanes) == []


def hash_of(text: str) -> int:
    return sum(map(ord, text))


def test_locks_can_be_switched_off(make_org):
    org = make_org(source=generated_opportunities(4000, accounts=200, rejected_share=0), row_ms=5.0, locks=False)
    assert outcomes(org, lanes_of_skewed_parents(org, 16, 250, '"ExternalId__c"')) == []
