"""Where a run's files are in the bucket; all of them expire as its state does."""

from __future__ import annotations

from uuid import uuid4

STAGED_PREFIX = "staged/"
RUNS_PREFIX = "runs/"


def config_key(run_id: str) -> str:
    """The load as it was when the run was planned: what every task of the run reads."""
    return f"{RUNS_PREFIX}{run_id}/config.json"


def plan_key(run_id: str, plan_name: str) -> str:
    """One plan; the run's item says which plan counts."""
    return f"{RUNS_PREFIX}{run_id}/plan-{plan_name}.json"


def receipt_key(run_id: str) -> str:
    """The account of a finished run."""
    return f"{RUNS_PREFIX}{run_id}/receipt.json"


def kept_list_key(run_id: str, name: str) -> str:
    """A list of kept rows for a lane to read."""
    return f"{RUNS_PREFIX}{run_id}/kept/{name}.json"


def staged_key(run_id: str, partition: str, batch: int, attempt: int) -> str:
    """A new staged file. No two have the same key: a slice that was fenced out cannot change what another sends."""
    return f"{STAGED_PREFIX}{run_id}/{partition}/{batch:06d}-{attempt}-{uuid4().hex}.csv"


def rejected_key(run_id: str, partition: str, batch: int, attempt: int, epoch: int) -> str:
    """The rows that an attempt rejected. Written again with the same rows, if the same claim settles it again.

    Another claim may reject other rows of the attempt, so it has a key of its own: a slice that was fenced out cannot
    change what is kept.
    """
    return f"{RUNS_PREFIX}{run_id}/rejected/{partition}/{batch:06d}-{attempt}-{epoch}.csv"


def unwritable_key(run_id: str, partition: str, batch: int) -> str:
    """A new file for the rows of a batch that cannot be sent, and count as rejected; the batch's item names it."""
    return f"{RUNS_PREFIX}{run_id}/rejected/{partition}/{batch:06d}-unwritable-{uuid4().hex}.csv"


def deferred_key(run_id: str, partition: str, batch: int, attempt: int, epoch: int, part: int) -> str:
    """A part of the rows that an attempt gave up for a passing reason, and that wait for the sweep.

    By claim, as above.
    """
    return f"{RUNS_PREFIX}{run_id}/deferred/{partition}/{batch:06d}-{attempt}-{epoch}-{part}.csv"
