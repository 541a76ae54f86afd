"""Salesforce's own batches, which a job is worked on and charged in."""

from __future__ import annotations

from massive_upload.constants import JOB_ROWS_PER_BATCH


def bulk_batches_of(rows: int) -> int:
    """How many of Salesforce's batches a job of so many rows has."""
    return -(-rows // JOB_ROWS_PER_BATCH)
