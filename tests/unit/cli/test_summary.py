import json
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.summary import NO_ACCOUNT, RunFacts, RunSummary, estimate_of, partition_failures, summarize, summary_view
from infra.config import load_file
from massive_upload.domain.account import Account
from massive_upload.domain.progress import PartitionStatus, RunStatus
from tests.unit.cli.progress_examples import STARTED_AT, a_partition, a_run

LOADS = Path(__file__).parents[3] / "loads"
ACCOUNT = Account(
    source_rows=1_000,
    succeeded=900,
    rejected=60,
    not_sent=10,
    skipped_null_key=20,
    duplicates_dropped=7,
    unsettled=3,
)
PROMISED_KEYS = {
    *("run_id", "status", "source_rows", "succeeded", "rejected", "not_sent", "skipped_null_key"),
    *("duplicates_dropped", "unsettled", "partitions", "batches", "jobs", "resent_rows", "lock_errors"),
    *("api_requests", "state_transitions", "max_history_events", "started_at", "ended_at", "rejected_files"),
    *("error", "cause"),
}


def a_summary(**changes: Any) -> RunSummary:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "load_name": "opportunity",
        "load": load_file(LOADS / "opportunity.yaml"),
        "mode": "full",
        "run": a_run(ended_at=STARTED_AT + timedelta(seconds=90)),
        "partitions": [
            a_partition(batches=3, jobs=4, resent_rows=5, lock_errors=6, api_requests=20),
            a_partition("sweep", batches=1, jobs=1, api_requests=4),
        ],
        "account": ACCOUNT,
        "status": RunStatus.COMPLETED,
        "error": None,
        "cause": None,
        "state_transitions": 200,
        "max_history_events": 150,
        "started_at": STARTED_AT,
        "ended_at": STARTED_AT + timedelta(seconds=90),
        "rejected_files": ["out/rejected/0000/000000-0.csv"],
        "rejected_by_reason": {"STRING_TOO_LONG (Name)": 40, "DUPLICATE_VALUE": 20},
        "out": "out",
    }
    return summarize(RunFacts(**(values | changes)))


def text_of(summary: RunSummary, partitions: Any = ()) -> str:
    written = StringIO()
    Console(file=written, width=120).print(summary_view(summary, partitions))
    return written.getvalue()


def test_the_json_object_is_one_line_and_has_every_promised_key():
    text = a_summary().as_json()

    assert "\n" not in text
    assert set(json.loads(text)) >= PROMISED_KEYS


def test_a_run_that_was_never_recorded_has_every_key_as_well():
    summary = a_summary(run=None, partitions=[], account=NO_ACCOUNT, status=RunStatus.FAILED, error="E", cause="c")

    document = json.loads(summary.as_json())
    assert set(document) >= PROMISED_KEYS
    assert (document["status"], document["error"], document["source_rows"]) == ("Failed", "E", 0)


def test_work_is_added_up_over_all_partitions_and_the_sweep_is_no_partition():
    summary = a_summary(run=a_run(api_requests=9))

    assert (summary.partitions, summary.batches, summary.jobs) == (1, 4, 5)
    assert (summary.resent_rows, summary.lock_errors, summary.api_requests) == (5, 6, 33)


def test_times_are_iso_8601_in_utc():
    summary = a_summary()

    assert summary.ended_at is not None
    for text in (summary.started_at, summary.ended_at):
        assert datetime.fromisoformat(text).utcoffset() == timedelta(0)


def test_a_run_that_goes_on_has_no_end_and_what_is_not_counted_is_left_out():
    summary = a_summary(ended_at=None, status=RunStatus.RUNNING, state_transitions=None, max_history_events=None)

    assert (summary.ended_at, summary.state_transitions) == (None, None)
    text = text_of(summary)
    assert "Running for" in text
    assert "Step Functions" not in text


def test_the_account_table_shows_every_class_of_rows():
    text = text_of(a_summary())

    for name, rows in (("succeeded", "900"), ("rejected", "60"), ("rows of the source", "1,000"), ("unsettled", "3")):
        assert any(name in line and line.rstrip("│ ").endswith(rows) for line in text.splitlines())
    assert "Completed after 1 min 30 s, 10 rows/s" in text
    assert text.index("STRING_TOO_LONG (Name)") < text.index("DUPLICATE_VALUE")


def test_of_many_reasons_the_most_frequent_are_shown_and_the_others_are_counted():
    text = text_of(a_summary(rejected_by_reason={f"CODE_{n:02d}": n for n in range(1, 16)}))

    assert "CODE_15" in text
    assert "CODE_05" not in text
    assert any("5 more reasons" in line and "15" in line for line in text.splitlines())


def test_a_source_without_rows_is_nothing_to_load():
    assert "Nothing to load: the source has no rows." in text_of(a_summary(account=NO_ACCOUNT, partitions=[]))


def test_a_plan_is_estimated_from_its_lanes_and_pace():
    load = load_file(LOADS / "opportunity.yaml", sets=["pace.batch_rows=300", "pace.delay_seconds=10"])
    lanes = [a_partition(rows=1_000), a_partition("0001", rows=301, start_delay_seconds=600)]

    estimate = estimate_of(load, lanes)

    assert (estimate.lanes, estimate.batches, estimate.jobs) == (2, 6, 6)
    assert estimate.least_seconds == 610
    assert estimate.api_requests > estimate.jobs * 3  # create, upload, close at least


def test_the_plan_view_names_the_partitions():
    lanes = [a_partition(rows=1_000, upto="OPP-9", status=PartitionStatus.PENDING)]
    summary = a_summary(mode="plan", partitions=lanes)

    text = text_of(summary, lanes)

    assert summary.estimate is not None
    assert "OPP-9" in text
    assert "Nothing was written" in text


@pytest.mark.parametrize("cause", ["the reason", json.dumps({"errorMessage": "the reason", "stackTrace": ["secret"]})])
def test_each_reason_of_failed_partitions_is_told_once(cause):
    failed = [
        a_partition(name, status=PartitionStatus.FAILED, error="RunHalted", cause=cause) for name in ("0001", "0002")
    ]

    assert partition_failures([a_partition(), *failed]) == ["partition 0001: RunHalted: the reason"]
