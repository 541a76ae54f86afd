import json
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.summary import NO_ACCOUNT, RunFacts, RunSummary, partition_failures, summarize, summary_view
from infra.config import load_file
from massive_upload.domain.account import Account
from massive_upload.domain.estimate import LaneWork, Parents, SharedParents, estimate_of
from massive_upload.domain.progress import PartitionStatus, RunStatus
from massive_upload.domain.quota import OrgQuota
from tests.unit.cli.progress_examples import STARTED_AT, a_partition, a_run

AN_ESTIMATE = estimate_of(
    load_file(Path(__file__).parents[3] / "loads" / "opportunity.yaml", sets=["pace.batch_rows=300"]),
    [LaneWork(rows=1_000)],
    parents=Parents(
        parents=10, rows=900, most_rows=500, heavy_rows=500, shared=(SharedParents(ranges=5, parents=4, rows=300),)
    ),
    quota=OrgQuota(looked_at=STARTED_AT, requests_max=100, requests_left=50, batches_max=99, batches_left=99),
)
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
    *("error", "cause", "receipt", "hot_parents"),
}


def a_summary(**changes: Any) -> RunSummary:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "load_name": "opportunity",
        "estimate": AN_ESTIMATE,
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
        "receipt": "out/receipt.json",
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


def test_the_parents_that_cost_most_lock_errors_are_named_as_they_are_spelt():
    summary = a_summary(hot_parents={"[/b] Acme": 10, "a\x1b[31m": 2})

    assert summary.hot_parents == {"[/b] Acme": 10, "a\x1b[31m": 2}
    lines = text_of(summary).splitlines()
    assert any("[/b] Acme" in line and line.rstrip("│ ").endswith("10") for line in lines)
    assert any("a\\x1b[31m" in line for line in lines)
    assert "by parent" not in text_of(a_summary())


def test_no_control_sequence_of_a_key_or_of_a_field_reaches_the_terminal():
    lanes = [a_partition(upto="OPP\x1b[2J", status=PartitionStatus.PENDING)]
    planned = text_of(a_summary(mode="plan", partitions=lanes), lanes)
    ended = text_of(a_summary(rejected_by_reason={"CODE (Name\x1b[2J)": 1}))
    assert r"OPP\x1b[2J" in planned
    assert r"CODE (Name\x1b[2J)" in ended
    assert "\x1b" not in planned + ended


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
    assert "Completed after 1 min 30 s, 10 rows/s\nopportunity, mode full\n" in text
    assert text.index("STRING_TOO_LONG (Name)") < text.index("DUPLICATE_VALUE")


def test_the_files_that_are_named_are_those_that_were_written():
    assert "Files: out (receipt.json, rejected rows in 1 file)" in text_of(a_summary())
    in_bucket = a_summary(out="s3://bucket/", receipt="s3://bucket/receipt.json", rejected_files=[])
    assert "Files: s3://bucket/ (receipt.json, rejected rows)" in text_of(in_bucket)

    without = text_of(a_summary(receipt=None, rejected_files=[], status=RunStatus.STOPPED))
    assert "Files: out (no receipt" in without
    assert "receipt.json" not in without

    full = a_summary(receipt=None, unwritten_files=["out/receipt.json", "out/rejected/0000/000001-0.csv"])
    assert "Files: out (incomplete: 2 could not be written)" in text_of(full)


def test_of_many_reasons_the_most_frequent_are_shown_and_the_others_are_counted():
    text = text_of(a_summary(rejected_by_reason={f"CODE_{n:02d}": n for n in range(1, 16)}))

    assert "CODE_15" in text
    assert "CODE_05" not in text
    assert any("5 more reasons" in line and "15" in line for line in text.splitlines())


def test_a_source_without_rows_is_nothing_to_load():
    assert "Nothing to load: the source has no rows." in text_of(a_summary(account=NO_ACCOUNT, partitions=[]))


def test_the_plan_view_tells_partitions_locks_quota_and_warnings():
    lanes = [a_partition(rows=1_000, upto="OPP-9", status=PartitionStatus.PENDING)]

    text = text_of(a_summary(mode="plan", partitions=lanes), lanes)

    for words in ("OPP-9", "Nothing was written", "rows of the heaviest", "5 ranges of keys", "of them without a key"):
        assert words in text
    lines = [" ".join(line.replace("│", " ").split()) for line in text.splitlines()]
    assert "Bulk API 2.0 jobs 4 to 8" in lines
    assert "Warning: API requests: 20 to 114 do not fit" in " ".join(lines)


def test_the_end_of_a_run_shows_its_plan_beside_what_came_of_it():
    lines = [" ".join(line.replace("│", " ").split()) for line in text_of(a_summary()).splitlines()]

    assert "Bulk API 2.0 jobs 4 to 8 5" in lines
    assert any(line.startswith("duration") and line.endswith("1 min 30 s") for line in lines)


def test_the_plan_view_tells_how_many_batches_at_a_time_and_by_what_the_duration_was_reckoned():
    shown = text_of(a_summary(mode="plan"))
    assert "5 to 30, a guess" in shown
    assert "For 20 batches at a time: no run of the load has shown" in shown
    known = replace(AN_ESTIMATE, row_ms_least=7.5, row_ms_most=15.0, last_run="run-0", org_batches=12)
    assert "7.5 to 15, by run run-0" in text_of(a_summary(mode="plan", estimate=known))
    earlier = replace(AN_ESTIMATE, org_batches=0, org_batches_reason="")
    assert "at a time" not in text_of(a_summary(mode="plan", estimate=earlier)), "a plan of an earlier version"


def test_advice_for_the_next_run_is_told_in_words_and_in_json():
    summary = a_summary(advice=["Say partitioning: {by: parent}: so it is."])
    assert "For the next run: Say partitioning: {by: parent}: so it is." in text_of(summary)
    assert json.loads(summary.as_json())["advice"] == ["Say partitioning: {by: parent}: so it is."]
    assert "For the next run" not in text_of(a_summary())


def test_a_run_whose_waits_were_shortened_is_not_compared_in_time():
    text = text_of(a_summary(time_scale=100.0))
    assert "plan and outcome" in text
    assert "duration" not in text


@pytest.mark.parametrize(
    "changes", [{"was_resumed": True}, {"partitions": [a_partition(), a_partition("0001", reopened_by="arn:resume")]}]
)
def test_the_time_in_which_a_run_was_not_carried_out_is_counted_for_nothing(changes):
    summary = a_summary(**changes)
    text = text_of(summary)
    assert "Run run-1: Completed\n" in text.replace(" \n", "\n")
    assert "plan and outcome" in text
    assert not any(word in text for word in ("rows/s", "duration", "1 min 30 s"))
    assert json.loads(summary.as_json())["was_resumed"]
    assert not json.loads(a_summary().as_json())["was_resumed"]


def test_a_run_without_a_plan_has_nothing_beside_it():
    assert "plan and outcome" not in text_of(a_summary(estimate=None))


@pytest.mark.parametrize("cause", ["the reason", json.dumps({"errorMessage": "the reason", "stackTrace": ["secret"]})])
def test_each_reason_of_failed_partitions_is_told_once(cause):
    failed = [
        a_partition(name, status=PartitionStatus.FAILED, error="RunHalted", cause=cause) for name in ("0001", "0002")
    ]

    assert partition_failures([a_partition(), *failed]) == ["partition 0001 and 1 more: RunHalted: the reason"]
    many = [
        a_partition(f"{number:04d}", status=PartitionStatus.FAILED, error="RunHalted", cause=f"reason {number}")
        for number in range(12)
    ]
    told = partition_failures(many)
    assert (len(told), told[0], told[-1]) == (11, "partition 0000: RunHalted: reason 0", "and 2 more reasons")
