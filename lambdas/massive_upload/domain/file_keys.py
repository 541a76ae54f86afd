"""Where a run's files are in the bucket; all of them expire as its state does."""

from __future__ import annotations

from uuid import uuid4

from massive_upload.constants import SWEEP_PARTITION

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
    """The rows of one attempt, as they are sent."""
    return f"{STAGED_PREFIX}{run_id}/{partition}/{_own_name(batch, str(attempt))}"


def rejected_key(run_id: str, partition: str, batch: int, attempt: int) -> str:
    """The rows that an attempt rejected."""
    return f"{RUNS_PREFIX}{run_id}/rejected/{partition}/{_own_name(batch, str(attempt))}"


def unwritable_key(run_id: str, partition: str, batch: int) -> str:
    """The rows of a batch that cannot be sent, and count as rejected."""
    return f"{RUNS_PREFIX}{run_id}/rejected/{partition}/{_own_name(batch, 'unwritable')}"


def deferred_key(run_id: str, partition: str, batch: int, attempt: int, part: int) -> str:
    """A part of the rows that an attempt gave up for a passing reason, and that wait for the sweep."""
    return f"{RUNS_PREFIX}{run_id}/deferred/{partition}/{_own_name(batch, f'{attempt}-{part}')}"


def half_swept_key(run_id: str) -> str:
    """What waits for the sweep of the rows that it has begun to send, as a receipt names it."""
    return f"{RUNS_PREFIX}{run_id}/deferred/{SWEEP_PARTITION}/{uuid4().hex}.csv"


def _own_name(batch: int, of: str) -> str:
    """A name that no other file has; the batch's item says which file counts.

    A task that lives on beside its own repetition, or was fenced out, cannot change what the other sends or keeps.
    """
    return f"{batch:06d}-{of}-{uuid4().hex}.csv"
