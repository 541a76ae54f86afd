"""How long loads wait for row locks: the simulated org's own lock model under a virtual clock, strategy by strategy.

No row is sent anywhere. `local.org.locks.Scheduler` decides when each chunk of 200 rows is written and which rows fail;
`massive_upload.domain.lanes` cuts the lanes. The model, all of it stated:

- The org writes the batches (at most 10,000 rows) of all jobs with so many workers, first come, first served. A chunk
  locks the parents of its rows while it is written; one that waits for a lock for 10 s loses the rows whose parents
  are still locked. A lock that is released goes to whoever has waited longest; or, as a second assumption, to one of
  those who wait, by lot; or, as a third, the batch that has released it takes part in the lot with its next chunk.
- A lane has one job in flight. By default that of a lane with a single parent has two batches where the planner says so
  (`domain/lanes.py`). From the end of a job until its next one reaches the queue pass 1 s in the org's queue,
  3 s of calls, and 1 % of the job's time, by which the look at it comes late.
- Rows that fail are sent again by their lane after 2, 5 and 10 s, then once more when all lanes have ended.
- Rows of a job that was sent by hand and failed are left; or a careful person sends them again, sorted as before, in
  one job more after another until all have landed.
- Parents have rows by a bounded Zipf distribution; a row's key says nothing about its parent.

    python -m benchmarks.locks --help
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from local.org.jobs import BATCH_ROWS, CHUNK_ROWS
from local.org.locks import Scheduler
from massive_upload.domain import presets
from massive_upload.domain.lanes import Bucket, cut_lanes, paired
from massive_upload.domain.progress import LaneKind, SourceRange
from massive_upload.domain.source_sql import BUCKETS

QUEUE_SECONDS = 1.0
CALLS_SECONDS = 3.0
LATE_LOOK_PART = 0.01
RETRY_DELAYS_SECONDS = (2, 5, 10)

Rows = Sequence[int]
"""The parents of some rows, in the order in which they are sent."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is loaded, and into what org.

    Attributes:
        rows: the parent of each row, in key order.
        workers: batches that the org writes at the same time.
        row_ms: time to write one row, in milliseconds.
        lock_wait_seconds: how long a chunk waits for a lock.
        lottery_seed: of the lot that decides who gets a released lock; None for first come, first served.
        has_barging: whether the batch that has released it takes part in the lot.
    """

    rows: Rows
    workers: int = 20
    row_ms: float = 15.0
    lock_wait_seconds: float = 10.0
    lottery_seed: int | None = None
    has_barging: bool = False

    @property
    def least_seconds(self) -> float:
        """No strategy is faster: all work spread evenly, or the heaviest parent's, one row after the other."""
        heaviest = max(Counter(self.rows).values())
        return max(len(self.rows) / self.workers, heaviest) * self.row_ms / 1000


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How rows are cut into lanes, and a lane's rows into jobs.

    Attributes:
        cut: from a case to the rows of each lane, in the order in which lanes begin.
        job_rows: most rows of a job.
        pairs: which lanes have jobs of two batches.
        delay_seconds: between a lane's jobs.
        stagger_seconds: from the start of one lane to that of the next.
        is_alone: one upload by hand: its jobs are all sent at once, and no lane sends anything again.
        is_sent_again: whether a person sends what has failed again, in jobs by hand.
    """

    name: str
    cut: Callable[[Case], list[Rows]]
    job_rows: int = BATCH_ROWS
    delay_seconds: float = 0.0
    stagger_seconds: int = 0
    pairs: Callable[[Sequence[SourceRange]], Collection[SourceRange]] = lambda _: ()
    is_alone: bool = False
    is_sent_again: bool = False


@dataclass
class Outcome:
    """What a strategy came to.

    Attributes:
        seconds: until the last row was written or given up, in simulated seconds.
        failed_at_first: rows that failed on locks at their first try.
        left: rows that failed at every try.
        written: rows that were written.
        shared_parents: parents with rows in more than one lane.
    """

    seconds: float = 0.0
    failed_at_first: int = 0
    left: int = 0
    written: int = 0
    shared_parents: int = 0


@dataclass(eq=False)
class _Chunk:
    job: _Job
    rows: Rows

    @property
    def parents(self) -> Sequence[tuple[str, ...]]:
        return [(str(parent),) for parent in self.rows]

    def finish(self, *, at: float, running_seconds: float, locked_out: Mapping[int, tuple[str, ...]]) -> None:
        self.job.written += len(self.rows) - len(locked_out)
        self.job.failed.extend(self.rows[place] for place in locked_out)


@dataclass(eq=False)
class _Batch:
    """Up to 10,000 rows of a job."""

    job: _Job
    rows: Rows
    taken: int = 0

    def next_chunk(self, at: float) -> _Chunk | None:
        chunk = self.rows[self.taken : self.taken + CHUNK_ROWS]
        self.taken += CHUNK_ROWS
        if chunk:
            return _Chunk(self.job, chunk)
        self.job.end_batch(at)
        return None


@dataclass(eq=False)
class _Job:
    """A job and what is done when it has ended."""

    rows: Rows
    ended: Callable[[float, _Job], None]
    begun_at: float = 0.0
    written: int = 0
    failed: list[int] = field(default_factory=list)
    _open_batches: int = 0

    def submit(self, org: Scheduler, at: float) -> None:
        self.begun_at = at
        batches = [
            _Batch(self, self.rows[start : start + BATCH_ROWS]) for start in range(0, len(self.rows), BATCH_ROWS)
        ]
        self._open_batches = len(batches)
        for batch in batches:
            org.submit(batch, at + QUEUE_SECONDS)

    def end_batch(self, at: float) -> None:
        self._open_batches -= 1
        if not self._open_batches:
            self.ended(at, self)


class _Lane:
    """One job in flight; what fails is sent again."""

    def __init__(self, org: Scheduler, rows: Rows, strategy: Strategy, load: _Load, *, is_paired: bool = False) -> None:
        self._org = org
        job_rows = strategy.job_rows * (presets.PAIR_BATCHES if is_paired else 1)
        self._jobs = [rows[start : start + job_rows] for start in range(0, len(rows), job_rows)]
        self._delay_seconds = strategy.delay_seconds
        self._load = load
        self._tries = 0

    def begin(self, at: float) -> None:
        self._send(self._jobs.pop(0), at)

    def _send(self, rows: Rows, at: float) -> None:
        _Job(rows, self._go_on).submit(self._org, at)

    def _go_on(self, at: float, job: _Job) -> None:
        self._load.count(job, at, is_first=self._tries == 0)
        ready = at + CALLS_SECONDS + LATE_LOOK_PART * (at - job.begun_at)
        if job.failed and self._tries < len(RETRY_DELAYS_SECONDS):
            self._send(job.failed, ready + RETRY_DELAYS_SECONDS[self._tries])
            self._tries += 1
            return
        self._tries = 0
        self._load.given_up.extend(job.failed)
        if self._jobs:
            self._send(self._jobs.pop(0), ready + self._delay_seconds)


@dataclass
class _Load:
    """What all lanes have come to."""

    outcome: Outcome = field(default_factory=Outcome)
    given_up: list[int] = field(default_factory=list)

    def count(self, job: _Job, at: float, *, is_first: bool) -> None:
        self.outcome.seconds = max(self.outcome.seconds, at)
        self.outcome.written += job.written
        self.outcome.failed_at_first += len(job.failed) if is_first else 0


def simulate(case: Case, strategy: Strategy) -> Outcome:
    """Load a case by a strategy, in simulated time."""
    org = Scheduler(
        workers=case.workers,
        row_seconds=case.row_ms / 1000,
        lock_wait_seconds=case.lock_wait_seconds,
        lottery=None if case.lottery_seed is None else random.Random(case.lottery_seed),
        has_barging=case.has_barging,
    )
    lanes, load = strategy.cut(case), _Load()
    ranges = [
        SourceRange(after=None, upto=str(place), rows=len(rows), has_one_parent=rows[0] == rows[-1])
        for place, rows in enumerate(lanes)
    ]
    pairs = strategy.pairs(ranges)
    for index, rows in enumerate(lanes):
        start = presets.start_delay_seconds(index, strategy.stagger_seconds, max_concurrency=len(lanes))
        if strategy.is_alone:
            _Job(rows, partial(_count_alone, load, is_first=True)).submit(org, start)
        else:
            _Lane(org, rows, strategy, load, is_paired=ranges[index] in pairs).begin(start)
    org.advance(math.inf)
    if load.given_up and not strategy.is_alone:
        _sweep(org, load)
    while load.given_up and strategy.is_sent_again:
        rows, load.given_up = sorted(load.given_up), []
        _Job(rows, partial(_count_alone, load, is_first=False)).submit(org, load.outcome.seconds + CALLS_SECONDS)
        org.advance(math.inf)
    load.outcome.left = len(load.given_up)
    lanes_of = Counter(parent for rows in lanes for parent in set(rows))
    load.outcome.shared_parents = sum(lanes > 1 for lanes in lanes_of.values())
    return load.outcome


def _count_alone(load: _Load, at: float, job: _Job, *, is_first: bool) -> None:
    load.count(job, at, is_first=is_first)
    load.given_up.extend(job.failed)


def _sweep(org: Scheduler, load: _Load) -> None:
    """Once more, in one lane."""
    rows, load.given_up = load.given_up, []
    first_tries = load.outcome.failed_at_first
    lane = _Lane(org, sorted(rows), Strategy(name="sweep", cut=lambda _: []), load)
    lane.begin(load.outcome.seconds + CALLS_SECONDS)
    org.advance(math.inf)
    load.outcome.failed_at_first = first_tries


def by_key(count: int) -> Callable[[Case], list[Rows]]:
    """Even ranges of keys."""

    def cut(case: Case) -> list[Rows]:
        size = -(-len(case.rows) // count)
        return [case.rows[start : start + size] for start in range(0, len(case.rows), size)]

    return cut


def by_parent(count: int) -> Callable[[Case], list[Rows]]:
    """Lanes of whole parents, as the planner cuts them, each sorted by parent."""

    def cut(case: Case) -> list[Rows]:
        ordered = sorted(case.rows)
        ends = {lane.upto: lane.rows for lane in cut_lanes(buckets_of(ordered), count)}
        starts, position = {}, 0
        for upto in sorted(ends, key=int):
            starts[upto] = position
            position += ends[upto]
        return [ordered[starts[upto] : starts[upto] + rows] for upto, rows in ends.items()]

    return cut


def in_one(order: Callable[[Rows], Rows]) -> Callable[[Case], list[Rows]]:
    """All rows in one job.

    Its 150 MB after base64 encoding hold about a million rows of 110 bytes; to cut it there would change nothing.
    """
    return lambda case: [order(case.rows)]


def buckets_of(ordered: Rows) -> list[Bucket]:
    """Rows that are sorted by parent, in buckets as the plan's statement makes them (`domain/source_sql.py`)."""
    buckets: dict[tuple[int, bool], list[tuple[int, int]]] = {}
    before, total = 0, len(ordered)
    for parent, rows in sorted(Counter(ordered).items()):
        place = (before * BUCKETS // total, rows * BUCKETS >= total)
        buckets.setdefault(place, []).append((parent, rows))
        before += rows
    return [
        Bucket(
            kind=LaneKind.PARENT,
            last=str(parents[-1][0]),
            rows=sum(rows for _, rows in parents),
            parents=len(parents),
        )
        for _, parents in sorted(buckets.items())
    ]


GUIDE = Strategy(
    name="the guide's: 5 key ranges, 500 rows, 25 s, 1.5 h apart",
    cut=by_key(5),
    job_rows=500,
    delay_seconds=25,
    stagger_seconds=5_400,
)
ONE_JOB = Strategy(name="one job, in key order", cut=in_one(list), is_alone=True)
ONE_SORTED_JOB = Strategy(name="one job, sorted by parent", cut=in_one(sorted), is_alone=True)
ONE_SORTED_JOB_AND_AGAIN = replace(ONE_SORTED_JOB, is_sent_again=True)


def key_ranges(count: int) -> Strategy:
    """Key ranges without stagger or delay."""
    return Strategy(name=f"{count} key ranges, all at once", cut=by_key(count))


def parent_lanes(count: int, *, batches: int = 1) -> Strategy:
    """Lanes of parents, whose jobs have so many internal batches."""
    jobs = "" if batches == 1 else f", jobs of {batches * BATCH_ROWS:,} rows"
    return Strategy(name=f"{count} lanes of parents{jobs}", cut=by_parent(count), job_rows=batches * BATCH_ROWS)


def default_lanes(rows: int, *, org_batches: int = presets.ORG_BATCHES) -> int:
    """The number of lanes of parents that a plan has by itself."""
    return presets.filling_lanes_for(rows, org_batches=org_batches)


DEFAULT_PAIRS = partial(paired, org_batches=presets.ORG_BATCHES)


def all_of_one_parent(lanes: Sequence[SourceRange]) -> list[SourceRange]:
    """The pairs there would be if the org's time for them were not looked at."""
    return [lane for lane in lanes if lane.has_one_parent and lane.rows > BATCH_ROWS]


def default(rows: int) -> Strategy:
    """What a plan does by itself while no run has shown anything."""
    count = default_lanes(rows)
    return replace(parent_lanes(count), name=f"the default: {count} lanes of parents", pairs=DEFAULT_PAIRS)


def rows_of(*, rows: int, parents: int, skew: float, seed: int) -> Rows:
    """Rows whose parents follow a bounded Zipf distribution: the parent of rank r has a share of r ** -skew."""
    chance = random.Random(seed)
    names = list(range(parents))
    chance.shuffle(names)
    return chance.choices(names, weights=[rank**-skew for rank in range(1, parents + 1)], k=rows)


def rows_with_giant(*, rows: int, parents: int, giant_part: float, seed: int) -> Rows:
    """Rows of which one parent, in the middle of the others, has a part; the others are spread evenly."""
    chance = random.Random(seed)
    giants = int(rows * giant_part)
    drawn = [parents // 2] * giants + chance.choices(range(parents), k=rows - giants)
    chance.shuffle(drawn)
    return drawn


def rows_of_giants(*, giants: int, rows_each: int, seed: int) -> Rows:
    """Rows of a few parents that have as many each."""
    drawn = [giant for giant in range(giants) for _ in range(rows_each)]
    random.Random(seed).shuffle(drawn)
    return drawn


def table(case: Case, strategies: Sequence[Strategy]) -> str:
    """A Markdown table of what the strategies come to."""
    found = [(each.name, simulate(case, each)) for each in strategies]
    slowest = found[0][1].seconds
    lines = [
        "| strategy | simulated time | of the lower bound | times faster than the first | failed on locks at first "
        "| left after all tries | parents in several lanes |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, outcome in found:
        lines.append(
            f"| {name} | {outcome.seconds:,.0f} s | {outcome.seconds / case.least_seconds:.2f} x "
            f"| {slowest / outcome.seconds:.1f} | {outcome.failed_at_first:,} | {outcome.left:,} "
            f"| {outcome.shared_parents:,} |"
        )
    return "\n".join(lines)


SIZES = (200_000, 400_000, 600_000, 1_000_000, 2_000_000, 5_000_000)
"""Rows of the loads whose lanes are compared."""

GIANT_PARTS = (0.055, 0.06, 0.08, 0.095, 0.1, 0.15)
"""Parts of a load that one parent has; to that of an even lane and a little more, up to three full batches."""

SEVERAL_GIANTS = ((4, 50_000), (12, 50_000), (40, 25_000))
"""Parents, and rows of each, whose pairs would fill the org."""

LOTS = (1, 2, 3, 4, 5)
"""Seeds of the second and third assumption about the org."""


def landed_table(rows: int, parents: int, seed: int, giant_parts: Sequence[float] = GIANT_PARTS) -> str:
    """One sorted job, whose failed rows a person sends again, beside the default: until all rows have landed.

    By lot there are several draws: median (least to most). One job needs all pages before it begins, a lane at most two
    of them. The last column says how long a page has to take for the default to be ahead from the first page on, if
    pages are read one after the other for the one job, and those of different lanes side by side.
    """
    lines = [
        "| rows of the heaviest parent | released lock | ms a row | lower bound | one sorted job: failed rows "
        "| all have landed after | the default: failed rows | all have landed after | ahead where a page takes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for part in giant_parts:
        drawn = rows_with_giant(rows=rows, parents=parents, giant_part=part, seed=seed)
        heaviest = Counter(drawn).most_common(1)[0][1]
        for name, seeds in (("first come, first served", (None,)), ("by lot", LOTS)):
            for row_ms in (5.0, 15.0, 30.0):
                cases = [Case(rows=drawn, row_ms=row_ms, lottery_seed=lot) for lot in seeds]
                bound = f"{cases[0].least_seconds:,.0f} s"
                lines.append(f"| {heaviest:,} | {name} | {row_ms:g} | {bound} | {' | '.join(_landed_cells(cases))} |")
    return "\n".join(lines)


def _landed_cells(cases: Sequence[Case]) -> list[str]:
    cells, medians = [], []
    for strategy in (ONE_SORTED_JOB_AND_AGAIN, default(len(cases[0].rows))):
        failed, seconds = _landed([simulate(case, strategy) for case in cases], strategy)
        cells += [_spread(failed), f"{_spread(seconds)} s"]
        medians.append(statistics.median(seconds))
    one_job_seconds, default_seconds = medians
    pages = -(-len(cases[0].rows) // BATCH_ROWS)
    page_seconds = round((default_seconds - one_job_seconds) / (pages - presets.PAIR_BATCHES), 2)
    return [*cells, f"{page_seconds:.2f} s" if page_seconds > 0 else "any time"]


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):,.0f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.0f} to {max(values):,.0f})"


def barging_table(drawn: Rows) -> str:
    """The third assumption: median (least to most) of several draws, until all rows have landed."""
    plan = default(len(drawn))
    strategies = (
        ONE_SORTED_JOB_AND_AGAIN,
        replace(plan, name="the default, a first run"),
        replace(plan, name="the default, once pairs have met", pairs=lambda _: ()),
    )
    lines = [
        "| ms a row | lower bound | strategy | failed on locks at first | all have landed after |",
        "|---|---|---|---|---|",
    ]
    for row_ms in (5.0, 15.0, 30.0):
        cases = [Case(rows=drawn, row_ms=row_ms, lottery_seed=lot, has_barging=True) for lot in LOTS]
        for strategy in strategies:
            failed, seconds = _landed([simulate(case, strategy) for case in cases], strategy)
            bound = f"{cases[0].least_seconds:,.0f} s"
            lines.append(f"| {row_ms:g} | {bound} | {strategy.name} | {_spread(failed)} | {_spread(seconds)} s |")
    return "\n".join(lines)


def _landed(found: Sequence[Outcome], strategy: Strategy) -> tuple[list[int], list[float]]:
    """Rows that failed at first, and seconds until all had landed, of each draw."""
    if any(outcome.left for outcome in found):
        raise RuntimeError(f"Rows of {strategy.name} have not landed.")
    return [outcome.failed_at_first for outcome in found], [outcome.seconds for outcome in found]


def lanes_table(skew: float, seed: int, row_ms: float, sizes: Sequence[int] = SIZES) -> str:
    """Lanes of parents, as many as org_batches says and twice as many, before and after a run has shown the workers.

    The lanes of a plan by default are bold; times are of the lower bound.
    """
    lines = [
        "| rows | workers | lower bound | 20 lanes | 40 lanes | as many lanes as workers | twice as many |",
        "|---|---|---|---|---|---|---|",
    ]
    for rows in sizes:
        drawn = rows_of(rows=rows, parents=rows // 20, skew=skew, seed=seed)
        for workers in (8, 20, 40):
            case = Case(rows=drawn, workers=workers, row_ms=row_ms)
            counts = dict.fromkeys((presets.ORG_BATCHES, 2 * presets.ORG_BATCHES, workers, 2 * workers))
            times = {count: simulate(case, parent_lanes(count)).seconds / case.least_seconds for count in counts}
            cells = []
            for org_batches in (presets.ORG_BATCHES, workers):
                chosen = default_lanes(rows, org_batches=org_batches)
                for count in (org_batches, 2 * org_batches):
                    cells.append(f"**{times[count]:.3f} x**" if count == chosen else f"{times[count]:.3f} x")
            lines.append(f"| {rows:,} | {workers} | {case.least_seconds:,.0f} s | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--parents", type=int, default=100_000)
    parser.add_argument("--skew", type=float, default=0.6, help="exponent of the Zipf distribution")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--row-ms", type=float, default=15.0, help="milliseconds to write a row")
    asked = parser.parse_args()
    rows = rows_of(rows=asked.rows, parents=asked.parents, skew=asked.skew, seed=asked.seed)
    heaviest = Counter(rows).most_common(1)[0][1]
    print(f"{asked.rows:,} rows, {asked.parents:,} parents, skew {asked.skew}, the heaviest has {heaviest:,}")
    for workers in (8, 20):
        case = Case(rows=rows, workers=workers, row_ms=asked.row_ms)
        strategies = [GUIDE, key_ranges(20), ONE_JOB, ONE_SORTED_JOB, default(asked.rows)]
        strategies += [parent_lanes(count) for count in (20, 22, 25, 40) if count != default_lanes(asked.rows)]
        strategies += [parent_lanes(5, batches=4), parent_lanes(10, batches=2)]
        print(f"\n{workers} workers, {asked.row_ms:g} ms a row; lower bound {case.least_seconds:,.0f} s\n")
        print(table(case, strategies))
    giant = rows_with_giant(rows=asked.rows // 10, parents=asked.parents // 10, giant_part=0.1, seed=asked.seed)
    for row_ms in (5.0, 15.0, 30.0):
        case = Case(rows=giant, row_ms=row_ms)
        print(f"\n{len(giant):,} rows, a tenth of one parent, {row_ms:g} ms a row; bound {case.least_seconds:,.0f} s\n")
        others = [parent_lanes(count) for count in (5, 20, 40) if count != default_lanes(len(giant))]
        print(table(case, [ONE_SORTED_JOB, default(len(giant)), *others, parent_lanes(5, batches=4)]))
    print(f"\n{len(giant):,} rows, part of them of one parent: until all rows have landed\n")
    print(landed_table(len(giant), asked.parents // 10, asked.seed))
    print("\nA tenth of one parent, and the batch that releases a lock takes part in the lot\n")
    print(barging_table(giant))
    for giants, rows_each in SEVERAL_GIANTS:
        case = Case(rows=rows_of_giants(giants=giants, rows_each=rows_each, seed=asked.seed), row_ms=5.0)
        print(f"\n{giants} parents with {rows_each:,} rows each, 5 ms a row; bound {case.least_seconds:,.0f} s\n")
        plan = default(len(case.rows))
        lanes = replace(plan, name="never paired", pairs=lambda _: ())
        print(table(case, [plan, lanes, replace(plan, name="always paired", pairs=all_of_one_parent)]))
    print("\nHow many lanes of parents\n")
    print(lanes_table(asked.skew, asked.seed, asked.row_ms), flush=True)
    print("\nSensitivity: 20 lanes of parents, and 20 key ranges\n")
    print(sensitivity(asked.rows, asked.parents, asked.skew, asked.seed, asked.row_ms))


def sensitivity(rows: int, parents: int, skew: float, seed: int, row_ms: float) -> str:
    """What changes with the org's workers, the skew and the wait for locks."""
    base = rows_of(rows=rows, parents=parents, skew=skew, seed=seed)
    cases = {f"{workers} workers": Case(rows=base, workers=workers, row_ms=row_ms) for workers in (8, 20, 40)}
    for factor in (0.5, 2.0, 4.0):
        cases[f"lock wait {10 * factor:g} s"] = Case(rows=base, row_ms=row_ms, lock_wait_seconds=10 * factor)
    for factor in (0.5, 1.5):
        drawn = rows_of(rows=rows, parents=parents, skew=skew * factor, seed=seed)
        cases[f"skew {skew * factor:g}"] = Case(rows=drawn, row_ms=row_ms)
    lines = ["| case | lower bound | lanes of parents | failed | key ranges | failed |", "|---|---|---|---|---|---|"]
    for name, case in cases.items():
        lanes, ranges = simulate(case, parent_lanes(20)), simulate(case, key_ranges(20))
        lines.append(
            f"| {name} | {case.least_seconds:,.0f} s | {lanes.seconds / case.least_seconds:.2f} x | "
            f"{lanes.failed_at_first:,} | {ranges.seconds / case.least_seconds:.2f} x | {ranges.failed_at_first:,} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
