"""A lane goes slower while rows fail for a passing reason, says why, and names the parents that cost most locks."""

import csv
import io
import json
from collections import Counter

import pytest

from massive_upload.domain import pace as pace_module
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.pace import LanePace
from massive_upload.usecases.receipt import ReceiptNotes, read_notes
from tests.integration.adapters.stack import BUCKET
from tests.integration.usecases.world import RUN, open_world, paced

LOCKED = """
- match: {object: Opportunity, nth: 1}
  action: {row_failures: {share: 0.5, code: UNABLE_TO_LOCK_ROW}}
"""
REFUSED = LOCKED.replace("UNABLE_TO_LOCK_ROW", "STRING_TOO_LONG")


def test_a_contended_batch_makes_the_next_ones_smaller_and_is_logged_with_its_reason(monkeypatch, caplog):
    monkeypatch.setattr(pace_module, "JUDGED_ROWS", 10)
    monkeypatch.setattr("massive_upload.domain.presets.SLOWEST_PACE", dict.fromkeys(("low", "medium", "high"), (2, 40)))
    with open_world(load=paced(), faults=LOCKED) as world, caplog.at_level("INFO"):
        verdict = world.execute()
        assert verdict is not None
        assert verdict.succeeded == 30
        lane = world.partition()
        rows = [batch.first_rows for batch in world.store.batches(RUN, "0000")]
        assert rows[:2] == [10, 10], "the second was staged while the first was in flight"
        assert rows[2] == 6, "half way between 2 and 10"
        assert sum(rows) == 30
        assert lane.pace.speed_percent > 50, "what came after it was quiet"
    told = [vars(record) for record in caplog.records if record.getMessage() == "pace changed"]
    first = told[0]
    assert (first["marker"], first["speed_percent"], first["batch_rows"], first["delay_seconds"]) == (
        "WARNING",
        50,
        6,
        20,
    )
    assert first["reason"] == "fewer than 90 % of the rows passed at their first try"


def test_a_batch_that_was_staged_before_the_lane_went_slower_does_not_blame_the_slower_speed(monkeypatch):
    """The first attempts of the first two batches fail on locks: jobs 1 and 3. Both have the rows of full speed."""
    monkeypatch.setattr(pace_module, "JUDGED_ROWS", 10)
    monkeypatch.setattr("massive_upload.domain.presets.SLOWEST_PACE", dict.fromkeys(("low", "medium", "high"), (2, 40)))
    paces = []
    with open_world(load=paced(), faults=LOCKED + LOCKED.replace("nth: 1", "nth: 3")) as world:
        world.slices.after_task = lambda: paces.append(world.partition().pace)
        verdict = world.execute()
        assert verdict is not None
        assert verdict.succeeded == 30
        first, second, third, *_ = world.store.batches(RUN, "0000")
    assert [(batch.first_rows, batch.speed_percent) for batch in (first, second, third)] == [
        (10, 100),
        (10, 100),
        (6, 50),
    ]
    assert min(first.lock_errors, second.lock_errors) > 0
    assert min(pace.speed_percent for pace in paces) == 50
    assert {pace.limit_percent for pace in paces} == {None, 100}, "half speed was never tried before"


def test_rows_that_fail_for_good_say_nothing_about_the_pace(monkeypatch):
    monkeypatch.setattr(pace_module, "JUDGED_ROWS", 10)
    with open_world(load=paced(), faults=REFUSED) as world:
        verdict = world.execute()
        assert verdict is not None
        assert verdict.rejected > 0
        assert world.partition().pace.speed_percent == 100


@pytest.mark.parametrize(("message", "speed_percent"), [("ClientInputError : text", 100), ("Timeout : waited", 50)])
def test_a_job_that_fails_as_a_whole_moves_the_pace_unless_it_does_so_for_what_a_row_holds(
    message, speed_percent, monkeypatch
):
    monkeypatch.setattr(pace_module, "JUDGED_ROWS", 10)
    rule = f'- match: {{object: Opportunity, nth: 1}}\n  action: {{job_fails: {{after_rows: 0, message: "{message}"}}}}'
    speeds = []
    with open_world(load=paced(), faults=rule) as world:
        world.slices.after_task = lambda: speeds.append(world.partition().pace.speed_percent)
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", 30)
        assert sum(world.jobs.values()) > 3, "the first batch was cut in two"
    assert min(speeds) == speed_percent


def test_a_load_may_keep_its_pace_whatever_the_org_answers(monkeypatch):
    monkeypatch.setattr(pace_module, "JUDGED_ROWS", 10)
    with open_world(load=paced(adaptive=False), faults=LOCKED) as world:
        world.execute()
        assert world.partition().pace == LanePace()
        assert [batch.first_rows for batch in world.store.batches(RUN, "0000")] == [10, 10, 10]


def test_the_receipt_names_the_parents_that_cost_most_lock_errors():
    with open_world(load=paced(batch_rows=30), faults=LOCKED) as world:
        world.execute()
        lane = world.partition()
        receipt = json.loads(world.files.read(receipt_key(RUN)))
        notes = read_notes(world.files, world.run())
        staged = world.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"staged/{RUN}/0000/000000-0-")["Contents"]
        sent = csv.DictReader(io.StringIO(world.files.read(staged[0]["Key"]).decode()))
        parents = Counter(row["Account.External_ID__c"] for row in sent)
    assert sum(lane.hot_parents.values()) == lane.lock_errors > 0
    named = receipt["hot_parents"]
    assert list(named.values()) == sorted(named.values(), reverse=True)
    assert len(named) == min(10, len(lane.hot_parents))
    assert all(0 < lock_errors <= parents[parent] for parent, lock_errors in named.items())
    assert notes == ReceiptNotes(advice=tuple(receipt["advice"]), hot_parents=named)
