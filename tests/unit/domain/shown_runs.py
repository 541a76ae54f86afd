"""What runs have shown, for the tests of what the next run makes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from massive_upload.domain.shown import Shown

BEGAN_AT = datetime(2026, 1, 1, 22, tzinfo=UTC)


def a_shown(**changes: Any) -> Shown:
    """A run of 400,000 rows in 20 lanes at 15 ms a row, which does not tell how many batches the org works on."""
    shown = Shown(
        load="deals",
        target="00D#deal__c",
        run_id="run-1",
        began_at=BEGAN_AT,
        ended_at=BEGAN_AT + timedelta(hours=1),
        lanes=20,
        batch_rows=10_000,
        jobs=40,
        rows=400_000,
        job_seconds=6_080,
        processing_ms=6_000_000,
        contended_rows=0,
        org_batches=20,
    )
    return replace(shown, **changes)
