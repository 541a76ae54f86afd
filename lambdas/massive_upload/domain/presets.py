"""The guide's tables: how many lanes for how many rows, and how fast, by the risk of row locks.

Source: the implementation guide "Massive Data Loading from Salesforce Data Cloud to Core" (2026), "Partition Sizing
Guidelines" and "Parameter Tuning". Where its table gives a range, a load of low risk takes the first number and a load
of high risk the last; a bound belongs to the row that it ends.
"""

from enum import StrEnum, unique

from massive_upload.constants import JOB_ROWS_PER_BATCH, MAX_LANES
from massive_upload.domain.bulk_batches import bulk_batches_of

LANE_ROWS = 500_000
"""Above the table's end lanes are cut by size; the guide's lanes hold 400,000 to 500,000 rows."""

PATIENCE_SECONDS = 2 * 3600

SWEEP_RETRY_DELAYS_SECONDS = (10, 30, 60, 120, 300)
"""Waits of the sweep, which has no lane beside it. With the four tries of its lane a row is sent ten times: where a
fifth of the rows finds a lock at each try, one in ten million is left."""

SAMPLE_ROWS = 1_000

RESERVE_PERCENT = 10
"""Of the org's daily allowances, for its people and other integrations."""

OVERLAP_SECONDS = 3_600
"""Longer than the streams of one object of Data Cloud usually lie apart; a row that is read twice is only updated."""

# The circuit breaker's limits. They lie far beyond what a load is expected to live with: a source with a third of bad
# rows, and locks that a fifth of the rows meet at each try.
LANE_FAILED_JOBS = 15
"""More than a load can have retries; fewer than halving takes to reject a batch of 256 rows or more, so that an org
that fails every job costs no row."""
LANE_FAILED_PERCENT = 75
LANE_JUDGED_ROWS = 10_000
RUN_FAILED_LANES = 10
RUN_FAILED_PERCENT = 50
RUN_JUDGED_ROWS = 100_000


@unique
class LockRisk(StrEnum):
    """How likely rows of the target object are to wait for one another's parents; none where they have no parent."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


SLOWEST_PACE: dict[LockRisk, tuple[int, int]] = {
    LockRisk.NONE: (2_000, 30),
    LockRisk.LOW: (750, 20),
    LockRisk.MEDIUM: (500, 30),
    LockRisk.HIGH: (250, 45),
}
"""Rows of a batch and seconds between batches that a lane of keys slows down to: the other ends of the ranges; without
a risk of locks, as lanes of parents."""

PACE: dict[LockRisk, dict[str, object]] = {
    LockRisk.NONE: {
        "batch_rows": 5 * JOB_ROWS_PER_BATCH,
        "delay_seconds": 0,
        "stagger_seconds": 0,
        "retry_delays_seconds": (2, 5, 10),
    },
    LockRisk.LOW: {
        "batch_rows": 1_000,
        "delay_seconds": 15,
        "stagger_seconds": 3_600,
        "retry_delays_seconds": (2, 5, 10),
    },
    LockRisk.MEDIUM: {
        "batch_rows": 750,
        "delay_seconds": 20,
        "stagger_seconds": 5_400,
        "retry_delays_seconds": (2, 5, 10),
    },
    LockRisk.HIGH: {
        "batch_rows": 500,
        "delay_seconds": 30,
        "stagger_seconds": 7_200,
        "retry_delays_seconds": (2, 5, 10),
    },
}

ORG_BATCHES = 20
"""Batches of all jobs that an org works on at the same time, until one shows otherwise. Salesforce documents no figure;
the simulated org has as many workers."""

MOST_ORG_BATCHES = 100
"""A plan counts on no more by itself. Twice as many lanes, whose jobs take 50 s or longer, ask Data Cloud for four
pages a second: 15 requests at a time where a page takes 4 s, as many as it takes (Data 360 limits)."""

PARENT_PACE: dict[str, object] = {
    "batch_rows": JOB_ROWS_PER_BATCH,
    "delay_seconds": 0,
    "stagger_seconds": 0,
    "retry_delays_seconds": (2, 5, 10),
}
"""Lanes of parents do not meet, so nothing is gained by going slowly."""

_LANES_A_SECOND = 2
"""No more lanes begin in the same second: Data Cloud takes 15 requests at a time (Data 360 limits), and a lane that
begins has two to make, of about 4 s."""

SLOWEST_PARENT_PACE = (2_000, 30)
"""What a lane of parents slows down to where others lock its parents."""

CHUNK_ROWS = 200
"""Rows that Salesforce writes in one transaction (Bulk API 2.0 guide)."""

_LEAST_LANE_ROWS = 10 * CHUNK_ROWS
"""Below that a job's own time counts for more than its rows."""

PAIR_BATCHES = 2
"""Salesforce's batches in a job of a lane that is paired: one is written while the other waits for their parent."""

_SAFE_LOCK_SECONDS = 7
"""A row waits for a lock for about 10 s, then it fails; nobody can change that (docs/parent-lanes.md)."""

MOST_PAIR_ROW_MS = 1000 * _SAFE_LOCK_SECONDS / CHUNK_ROWS
"""Milliseconds of the org for a row, up to which the chunk of 200 rows that a batch waits for is written in time."""

_LANES_BY_ROWS: tuple[tuple[int, int, int], ...] = (
    (500_000, 1, 2),
    (1_000_000, 2, 3),
    (2_000_000, 3, 5),
    (5_000_000, 5, 10),
    (10_000_000, 10, 20),
)
"""Rows up to and including, lanes at low risk, lanes at high risk."""

_ONE_LANE_BELOW_ROWS = 100_000


def filling_lanes_for(rows: int, *, org_batches: int, batch_rows: int = JOB_ROWS_PER_BATCH) -> int:
    """The number of lanes that do not meet for a volume: those whose jobs fill the org, if that is worth it.

    Twice as many where each of these still has a full job: while the outcome of one lane's job is read and the next
    one sent, another lane's is waiting in the org's queue. With numbers between the two the last round of jobs may fill
    a small part of the org (benchmarks/locks.py). Where there are too few rows for full jobs, as many lanes as batches.

    Args:
        rows: rows to load.
        org_batches: batches that the org works on at the same time.
        batch_rows: rows of a full job.
    """
    filling = -(-org_batches // bulk_batches_of(batch_rows))
    for lanes in (min(2 * filling, MAX_LANES), filling):
        if rows >= lanes * max(batch_rows, _LEAST_LANE_ROWS):
            return lanes
    return max(1, min(org_batches, rows // _LEAST_LANE_ROWS))


def start_delay_seconds(index: int, stagger_seconds: int, *, max_concurrency: int, begun: int = 0) -> int:
    """How long a lane waits before it begins.

    Args:
        index: how many lanes come before it.
        stagger_seconds: the load's, from one lane to the next.
        max_concurrency: lanes at the same time; those beyond begin as others end.
        begun: how many lanes go on where they were, the first of them all: these have had their stagger.
    """
    if index >= max_concurrency:
        return 0
    staggers = max(0, index - max(0, begun - 1))
    return max(staggers * stagger_seconds, index // _LANES_A_SECOND)


def lanes_for(rows: int, risk: LockRisk, *, lane_rows: int = LANE_ROWS) -> int:
    """The number of lanes for a volume.

    Args:
        rows: rows to load.
        risk: the load's lock risk, of which there is some; medium takes the middle of a range, rounded up.
        lane_rows: rows of one lane above the table's end, 10 million rows.
    """
    if rows < _ONE_LANE_BELOW_ROWS:
        return 1
    for limit_rows, fewest, most in _LANES_BY_ROWS:
        if rows <= limit_rows:
            middle = (fewest + most + 1) // 2
            return {LockRisk.LOW: fewest, LockRisk.MEDIUM: middle, LockRisk.HIGH: most}[risk]
    return -(-rows // lane_rows)
