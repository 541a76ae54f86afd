"""What becomes of the rows of a job: settled, sent again, kept with their reason, or tried once more at the end."""

from collections import Counter

import pytest

from local.org import generated_opportunities
from local.org.opportunities import REJECTED_SQL
from massive_upload.contracts import JobCounters, SliceInput
from massive_upload.domain.presets import SWEEP_RETRY_DELAYS_SECONDS
from massive_upload.domain.progress import BatchState, PartitionStatus
from massive_upload.domain.staged_file import REJECT_COLUMNS
from massive_upload.errors import FencedOut, JobRejected, RunHalted, SalesforceUnavailable
from massive_upload.salesforce.bulk import Job
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.settle_batch import settle_batch
from massive_upload.usecases.upload_batch import upload_batch
from tests.integration.usecases.kept_rows import receipt, rejected_rows, rows_of
from tests.integration.usecases.sources import opportunities_with
from tests.integration.usecases.world import RUN, World, open_world, paced

LOCKED = """
- match: {object: Opportunity, nth: 1}
  action: {row_failures: {share: 0.5, code: UNABLE_TO_LOCK_ROW}}
"""
ALWAYS_LOCKED = """
- match: {object: Opportunity, nth: %d}
  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}
"""
FAILED_HEADER = '\\"sf__Id\\",\\"sf__Error\\",\\"External_ID__c\\"\\n'
"""Of a file of failed rows, as it is written in a fault."""


def ended_job(world: World) -> SliceInput:
    """A lane whose first job has ended."""
    task = world.start_lane()
    fetch_page(task, world.services)
    return world.until_its_job_has_ended(task)


def test_a_clean_job_is_settled_without_reading_a_result():
    with open_world(load=paced()) as world:
        world.execute()
        assert world.partition().succeeded == 30
        assert world.jobs == {"JobComplete": 3}
        assert world.requests["job_results"] == 0


def test_only_the_rows_that_failed_for_a_passing_reason_are_sent_again():
    with open_world(load=paced(batch_rows=30), faults=LOCKED) as world:
        task = ended_job(world)
        job_id = world.open_batch().job_id or ""
        results = world.server.backend.ingest.results(job_id)
        failed = {row["External_ID__c"]: row for row in rows_of(results.failed())}
        assert 0 < len(failed) < 30
        sent = {row["External_ID__c"]: row for row in rows_of(world.files.read(world.open_batch().file_key))}
        settle_batch(task, world.services)
        batch = world.open_batch()
        again = {row["External_ID__c"]: row for row in rows_of(world.files.read(batch.file_key))}
        assert again == {key: sent[key] for key in failed}
        assert (batch.state, batch.attempt, batch.rows) == (BatchState.PLANNED, 1, len(failed))
        assert (batch.succeeded, batch.lock_errors) == (30 - len(failed), len(failed))
        world.slices.run_lane(RUN, "0000")
        assert world.loaded_keys == world.keys_of()


def test_the_waits_before_each_attempt_are_the_loads():
    faults = "".join(ALWAYS_LOCKED % number for number in (1, 2, 3))
    with open_world(load=paced(batch_rows=30, retry_delays_seconds=(3, 7, 15)), faults=faults) as world:
        task = ended_job(world)
        waits = []
        for _ in range(3):
            step = settle_batch(task, world.services)
            waits.append(step.wait_seconds)
            task = world.until_its_job_has_ended(task)
        assert waits == [3, 7, 15]
        settle_batch(task, world.services)
        assert world.partition().succeeded == 30


def test_rejected_rows_are_kept_with_all_their_columns_their_error_and_their_tries():
    source = generated_opportunities(60, rejected_share=0.2)
    with open_world(source=source, load=paced(batch_rows=20)) as world:
        world.execute()
        refused = world.keys_of(REJECTED_SQL)
        rows = rejected_rows(world)
        assert {row["External_ID__c"] for row in rows} == refused
        targets = [mapping.to for mapping in world.load.fields.values()]
        assert all(list(row) == [*targets, *REJECT_COLUMNS] for row in rows)
        assert all(row["error_code"] and row["tries"] == "1" for row in rows)
        found = {row["error_code"] for row in rows}
        assert found <= {"STRING_TOO_LONG", "INVALID_FIELD", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"}


def test_a_row_that_is_rejected_after_it_was_sent_again_tells_all_its_tries():
    faults = ALWAYS_LOCKED % 1 + (ALWAYS_LOCKED % 2).replace("UNABLE_TO_LOCK_ROW", "STRING_TOO_LONG")
    with open_world(load=paced(batch_rows=30), faults=faults) as world:
        world.execute()
        assert {row["tries"] for row in rejected_rows(world)} == {"2"}
        assert world.partition().rejected == 30


@pytest.mark.parametrize("name", ["failedResults", "successfulResults"])
def test_a_result_file_that_was_cut_is_not_believed(name):
    faults = f"""{LOCKED}
- match: {{path: {name}, nth: 1}}
  action: {{status: 200, body: "{FAILED_HEADER}"}}
"""
    with open_world(load=paced(batch_rows=30), faults=faults) as world:
        task = ended_job(world)
        if name == "failedResults":
            before = (world.partition(), world.open_batch())
            with pytest.raises(SalesforceUnavailable, match="do not tell what became of 11 rows"):
                settle_batch(task, world.services)
            assert (world.partition(), world.open_batch()) == before
        world.slices.run_lane(RUN, "0000")
        assert world.partition().succeeded == 30
        assert world.loaded_keys == world.keys_of()


def test_rows_that_no_result_file_tells_of_are_sent_again_once_it_was_read_for_long_enough():
    """The first job reports failed rows, and lists none of them however often it is asked."""
    faults = f"""{LOCKED}
- match: {{path: failedResults, until_seconds: 3600}}
  action: {{status: 200, body: "{FAILED_HEADER}"}}
"""
    with open_world(load=paced(batch_rows=30), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, world.jobs) == ("Completed", 30, {"JobComplete": 2})
        assert world.slices.visited.count("WaitForOrg") == 2
        assert 0 < world.partition().resent_rows < 30


def test_a_job_without_counters_is_asked_again_for_its_rows_before_they_are_sent_again():
    uncounted = "{job_reports: {numberRecordsProcessed: null, numberRecordsFailed: null}}"
    faults = f"""
- match: {{object: Opportunity, nth: 1}}
  action: {uncounted}
- match: {{path: successfulResults, nth: 1}}
  action: {{status: 200, body: ""}}
"""
    with open_world(load=paced(batch_rows=30), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, world.jobs) == ("Completed", 30, {"JobComplete": 1})
        assert world.partition().resent_rows == 0


def job_fails(message: str) -> str:
    """After its first chunk of 200 rows."""
    return (
        f'- match: {{object: Opportunity, nth: 1}}\n  action: {{job_fails: {{after_rows: 200, message: "{message}"}}}}'
    )


def test_what_a_failed_job_did_not_try_is_sent_again_in_two_halves():
    source = generated_opportunities(250, rejected_share=0)
    with open_world(
        source=source, load=paced(batch_rows=250), faults=job_fails("Timeout : retried too often")
    ) as world:
        task = ended_job(world)
        settle_batch(task, world.services)
        batch = world.open_batch()
        assert (batch.rows, batch.succeeded, batch.state) == (25, 200, BatchState.PLANNED)
        assert [part.rows for part in batch.waiting] == [25]
        world.slices.run_lane(RUN, "0000")
        assert world.loaded_keys == world.keys_of()


def test_a_job_whose_counters_were_not_brought_up_to_date_is_settled_by_its_lists():
    faults = (
        "- match: {object: Opportunity}\n  action: {row_failures: {share: 1, code: STRING_TOO_LONG}}\n"
        "- match: {object: Opportunity}\n"
        "  action: {job_reports: {numberRecordsProcessed: 0, numberRecordsFailed: 0}}"
    )
    with open_world(load=paced(batch_rows=30), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.rejected, world.partition().jobs) == (30, 1)
        assert {row["error_code"] for row in rejected_rows(world)} == {"STRING_TOO_LONG"}


def test_a_failed_job_whose_counters_speak_of_success_is_settled_by_its_lists():
    faults = (
        job_fails("Timeout : retried too often")
        + "\n- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 0.1, code: STRING_TOO_LONG}}"
        + "\n- match: {object: Opportunity, nth: 1}"
        + "\n  action: {job_reports: {numberRecordsProcessed: 250, numberRecordsFailed: 0}}"
    )
    source = generated_opportunities(250, rejected_share=0)
    with open_world(source=source, load=paced(batch_rows=250), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        kept = {row["External_ID__c"] for row in rejected_rows(world)}
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", 250 - len(kept), len(kept))
        assert world.loaded_keys == world.keys_of() - kept
        assert kept


def test_a_job_that_is_refused_as_a_whole_ends_the_lane_and_its_rows_are_kept():
    source = generated_opportunities(250, rejected_share=0)
    faults = job_fails("InvalidBatch : Field name not found : Nmae")
    with open_world(source=source, load=paced(batch_rows=250), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.next, verdict.error) == ("Fail", "PartitionsFailed")
        assert (verdict.succeeded, verdict.rejected, verdict.unsettled) == (200, 50, 0)
        assert (world.partition().status, world.partition().error) == (PartitionStatus.FAILED, JobRejected.__name__)
        assert {row["error_code"] for row in rejected_rows(world)} == {"InvalidBatch"}


def test_a_field_that_some_rows_may_not_write_costs_those_rows_alone():
    refused = "{row_failures: {share: 0.3, code: INVALID_FIELD_FOR_INSERT_UPDATE}}"
    faults = f"- match: {{object: Opportunity, nth: 1}}\n  action: {refused}"
    with open_world(load=paced(), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.not_sent) == ("Completed", 0)
        assert (verdict.succeeded, verdict.rejected) == (30 - len(rejected_rows(world)), len(rejected_rows(world)))
        assert {row["error_code"] for row in rejected_rows(world)} == {"INVALID_FIELD_FOR_INSERT_UPDATE"}


def test_an_error_that_would_repeat_for_every_row_stops_the_whole_run():
    full = "{row_failures: {share: 1, code: STORAGE_LIMIT_EXCEEDED}}"
    faults = f"- match: {{object: Opportunity, nth: 1}}\n  action: {full}"
    with open_world(load=paced(lanes=2), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.next, verdict.status, verdict.error) == ("Fail", "Failed", RunHalted.__name__)
        assert (verdict.rejected, verdict.not_sent) == (10, 20)
        assert world.run().stop_reason == "STORAGE_LIMIT_EXCEEDED"
        assert [p.status for p in world.store.partitions(RUN)] == [PartitionStatus.FAILED, PartitionStatus.STOPPED]


FULL = "- match: {method: %s, path: %s}\n  action: {status: 400, code: STORAGE_LIMIT_EXCEEDED}"


@pytest.mark.parametrize(
    ("method", "path", "unsettled"),
    [("POST", "query-sql", 0), ("POST", "ingest$", 0), ("GET", "'ingest/[^/]+$'", 10), ("GET", "results$", 10)],
)
def test_a_request_that_is_refused_for_such_a_reason_stops_the_whole_run(method, path, unsettled):
    with open_world(load=paced(lanes=3), faults=LOCKED) as world:
        plan = world.plan({"load": world.load.name})
        world.break_org(LOCKED + FULL % (method, path))
        verdict = world.go_on_after(plan)
        assert (verdict.status, verdict.error) == ("Failed", RunHalted.__name__)
        assert "STORAGE_LIMIT_EXCEEDED" in verdict.cause
        assert (verdict.not_sent, verdict.unsettled) == (30 - unsettled, unsettled)
        statuses = [lane.status for lane in world.store.partitions(RUN)]
        assert statuses == [PartitionStatus.FAILED, PartitionStatus.STOPPED, PartitionStatus.STOPPED]


def test_a_slice_that_was_fenced_out_while_it_asked_the_org_stops_no_run(monkeypatch):
    with open_world(load=paced()) as world:
        task = world.start_lane()
        fetch_page(task, world.services)
        world.break_org(FULL % ("POST", "ingest$"))
        services = world.services
        claim = world.store.take_over_partition
        create = services.org.bulk.create

        def overtaken(**target: str) -> Job:
            claim(world.partition(), execution_arn=world.run().execution_arn)
            return create(**target)

        monkeypatch.setattr(services.org.bulk, "create", overtaken)
        with pytest.raises(FencedOut):
            upload_batch(task, services)
        assert not world.run().stop_requested


def test_the_rows_of_a_job_that_never_got_them_are_no_longer_unsettled_although_its_results_have_no_columns():
    taken = "- match: {method: PUT, nth: 1}\n  action: {status: 201, body: ''}"
    with open_world(load=paced(), faults=taken) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.succeeded, verdict.rejected, verdict.not_sent, verdict.unsettled) == (0, 10, 20, 0)
        assert {row["error_code"] for row in rejected_rows(world)} == {"InvalidBatch"}


def test_rows_given_up_for_a_passing_reason_are_sent_once_more_at_the_end():
    with open_world(load=paced(batch_rows=30, retry_delays_seconds=()), faults=LOCKED) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", 30, 0)
        lane, sweep = world.store.partitions(RUN)
        assert lane.deferred == sweep.source_rows == sweep.succeeded > 0
        assert world.loaded_keys == world.keys_of()
        assert receipt(world)["rejected_files"] == []


def test_rows_that_fail_in_the_sweep_as_well_are_rejected_with_all_their_tries():
    locked = "- {match: {object: Opportunity}, action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}}"
    tries = 2 + 1 + len(SWEEP_RETRY_DELAYS_SECONDS)
    with open_world(load=paced(batch_rows=30, retry_delays_seconds=(1,)), faults=locked) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.succeeded, verdict.rejected) == (0, 30)
        rows = rejected_rows(world)
        assert len(rows) == 30
        assert {(row["error_code"], row["tries"]) for row in rows} == {("UNABLE_TO_LOCK_ROW", str(tries))}


def test_the_sweep_sends_rows_again_until_none_meets_a_lock():
    """Three in ten at each try: after the lane's one try the sweep needs several."""
    locked = "- {match: {object: Opportunity}, action: {row_failures: {share: 0.3, code: UNABLE_TO_LOCK_ROW}}}"
    with open_world(load=paced(batch_rows=30, retry_delays_seconds=()), faults=locked) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", 30, 0)
        assert world.partition("sweep").jobs > 1


def test_given_up_rows_of_several_lanes_share_the_sweeps_jobs():
    faults = ALWAYS_LOCKED % 1 + ALWAYS_LOCKED % 2 + ALWAYS_LOCKED % 3
    with open_world(load=paced(lanes=3, retry_delays_seconds=()), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        assert verdict.succeeded == 30
        assert world.jobs == {"JobComplete": 4}


def test_a_run_that_is_stopped_by_some_rows_settles_the_batch_and_keeps_the_others_for_later():
    full = (
        "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 0.3, code: STORAGE_LIMIT_EXCEEDED}}"
    )
    with open_world(load=paced(batch_rows=30), faults=LOCKED + full) as world:
        task = ended_job(world)
        job_id = world.open_batch().job_id or ""
        found = [
            row["sf__Error"].partition(":")[0] for row in rows_of(world.server.backend.ingest.results(job_id).failed())
        ]
        locked, stopping = found.count("UNABLE_TO_LOCK_ROW"), found.count("STORAGE_LIMIT_EXCEEDED")
        assert min(locked, stopping) > 0
        with pytest.raises(RunHalted):
            settle_batch(task, world.services)
        assert (world.run().stop_requested, world.run().stop_reason) == (True, "STORAGE_LIMIT_EXCEEDED")
        lane = world.partition()
        assert (lane.open_batch, lane.settled_rows) == (None, 30)
        assert (lane.succeeded, lane.rejected, lane.deferred) == (30 - locked - stopping, stopping, locked)
        (batch,) = world.store.batches(RUN, "0000")
        (file,) = batch.deferred_files
        assert {row["error_code"] for row in rows_of(world.files.read(file.file_key))} == {"UNABLE_TO_LOCK_ROW"}
        assert world.jobs == {"JobComplete": 1}, "no row is sent again while the cause lasts"


def test_a_stopped_run_sends_the_rows_that_it_kept_for_later_once_it_is_resumed():
    full = (
        "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 0.3, code: STORAGE_LIMIT_EXCEEDED}}"
    )
    with open_world(load=paced(batch_rows=30), faults=LOCKED + full) as world:
        stopped = world.execute()
        assert stopped is not None
        rejected = world.partition().rejected
        assert stopped.rejected == rejected + world.partition().deferred
        resumed = world.execute({"mode": "resume", "run_id": RUN}, "again")
        assert resumed is not None
        assert (resumed.rejected, resumed.succeeded) == (rejected, 30 - rejected)


def test_rows_given_up_before_their_lane_had_used_all_tries_tell_their_own_in_the_sweep():
    """Those of the first job wait for the resume after one try; those of the second are sent by the lane twice."""
    faults = LOCKED + (
        "- match: {object: Opportunity, nth: 1}\n  action: {row_failures: {share: 0.4, code: STORAGE_LIMIT_EXCEEDED}}\n"
        "- match: {object: Opportunity, nth: 2}\n  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}\n"
        "- match: {object: Opportunity, nth: 3}\n  action: {row_failures: {share: 1, code: UNABLE_TO_LOCK_ROW}}\n"
        "- match: {object: Opportunity, nth: 4}\n  action: {row_failures: {share: 1, code: STRING_TOO_LONG}}\n"
        "- match: {object: Opportunity, nth: 5}\n  action: {row_failures: {share: 1, code: STRING_TOO_LONG}}\n"
    )
    with open_world(load=paced(lanes=2, batch_rows=15, retry_delays_seconds=(2,)), faults=faults) as world:
        world.execute()
        deferred = world.partition().deferred
        assert (world.run().stop_reason, deferred > 0) == ("STORAGE_LIMIT_EXCEEDED", True)
        world.execute({"mode": "resume", "run_id": RUN}, "again")
        tries = Counter(row["tries"] for row in rejected_rows(world) if row["error_code"] == "STRING_TOO_LONG")
        assert tries == {"2": deferred, "3": 15}


def test_a_cell_longer_than_any_field_is_rejected_by_the_org_and_kept_whole():
    text = "x" * 500_000
    source = opportunities_with("Description__c", "CASE WHEN n = 7 THEN repeat('x', 500000) ELSE 'short' END")
    with open_world(source=source, load=paced(batch_rows=30)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", 29, 1)
        (row,) = rejected_rows(world)
        assert (row["External_ID__c"], row["error_code"]) == ("OPP-0000007", "STRING_TOO_LONG")
        assert row["Description"] == text


ONE_KEY = opportunities_with(
    "ExternalId__c",
    "CASE n WHEN 200 THEN 'K' WHEN 201 THEN 'K' || chr(0) ELSE 'A-' || lpad(CAST(n AS VARCHAR), 7, '0') END",
    rows=201,
)
"""The last two rows have the same key, of two chunks of the org's: Salesforce trims NUL, and the plan's SQL cannot."""


@pytest.mark.parametrize(
    ("codes", "rejected", "again"),
    [
        (["UNABLE_TO_LOCK_ROW"], 0, 1),
        (["STRING_TOO_LONG"], 1, 0),
        (["STRING_TOO_LONG", "UNABLE_TO_LOCK_ROW"], 1, 1),
        (["UNABLE_TO_LOCK_ROW", "STRING_TOO_LONG"], 1, 1),
        (["UNABLE_TO_LOCK_ROW", "UNABLE_TO_LOCK_ROW"], 0, 2),
        (["STRING_TOO_LONG", "FIELD_INTEGRITY_EXCEPTION"], 2, 0),
    ],
)
def test_of_a_key_that_was_sent_twice_as_many_rows_fail_as_the_org_says(codes, rejected, again):
    lines = "".join(f'\\"\\",\\"{code}:text:--\\",\\"K\\"\\n' for code in codes)
    body = f"{FAILED_HEADER}{lines}"
    faults = f'- match: {{path: failedResults, nth: 1}}\n  action: {{status: 200, body: "{body}"}}'
    with open_world(source=ONE_KEY, load=paced(batch_rows=201), faults=faults) as world:
        task = ended_job(world)
        sent = rows_of(world.files.read(world.open_batch().file_key))
        job_id = world.open_batch().job_id or ""
        job = JobCounters(job_id=job_id, state="JobComplete", processed=201, failed=len(codes), seconds=1)
        settle_batch(task.model_copy(update={"step": task.step.model_copy(update={"job": job})}), world.services)
        (batch,) = world.store.batches(RUN, "0000")
        assert (batch.succeeded, batch.rejected) == (201 - len(codes), rejected)
        kept = [row for key in batch.rejected_files for row in rows_of(world.files.read(key))]
        assert {row["error_code"] for row in kept} == set(codes) - {"UNABLE_TO_LOCK_ROW"}
        if again:
            assert rows_of(world.files.read(batch.file_key)) == sent[-again:], "the last row of a key decides"
        world.slices.run_lane(RUN, "0000")
        lane = world.partition()
        assert (lane.settled_rows, lane.succeeded + lane.rejected) == (201, 201)


def test_a_job_that_ends_between_two_rows_of_one_key_is_settled_and_each_row_counts_once():
    with open_world(source=ONE_KEY, load=paced(batch_rows=201), faults=job_fails("Timeout : retried")) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.source_rows, verdict.succeeded) == ("Completed", 201, 201)
        assert world.partition().resent_rows == 1
        assert len(world.loaded_keys) == 200
