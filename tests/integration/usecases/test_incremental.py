"""Incremental runs: whatever changes, and whenever, the target holds it after the next run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from local.org import Source, generated_opportunities
from massive_upload.contracts import Verdict
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.incremental import Watermark
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Halt, RunStatus
from massive_upload.errors import StateChanged
from tests.integration.adapters.stack import TABLE
from tests.integration.usecases.kept_rows import recorded_account
from tests.integration.usecases.sources import with_column
from tests.integration.usecases.world import OPPORTUNITY, World, open_world, paced, renamed
from tests.thoroughness import every

ROWS = 12
OVERLAP_SECONDS = 3600
_SOURCE = with_column(
    generated_opportunities(ROWS, rejected_share=0),
    "LastModified__c",
    "TIMESTAMPTZ '2025-01-01 00:00:00+00' + to_days(CAST(n AS INTEGER))",
)
"""Each row is modified a day after the one before, so that a window is easy to tell."""
NEWEST = "2025-01-13T00:00:00+00:00"


def a_load(load: Load = OPPORTUNITY, *, lanes: int = 1, batch_rows: int = 5, **changes: Any) -> Load:
    document = paced(load, lanes=lanes, batch_rows=batch_rows).model_dump(mode="json")
    document["incremental"] = {"overlap_seconds": OVERLAP_SECONDS}
    return Load.model_validate(document | changes)


@contextmanager
def loaded_world(load: Load | None = None, *, source: Source = _SOURCE) -> Iterator[World]:
    """A world in which a full run has completed."""
    with open_world(source=source, load=load or a_load()) as world:
        assert_completed(world.execute({"load": "opportunity"}, "full"))
        yield world


def run_incrementally(world: World, name: str, **more: object) -> Verdict:
    verdict = world.execute({"load": "opportunity", "mode": "incremental", **more}, name)
    assert verdict is not None
    return verdict


def assert_completed(verdict: Verdict | None, rows: int | None = None) -> None:
    assert verdict is not None
    assert (verdict.status, verdict.error) == ("Completed", "")
    assert verdict.not_sent == verdict.unsettled == 0
    assert rows is None or verdict.source_rows == rows


def assert_up_to_date(world: World) -> None:
    """The target has every row of the source, with the name that it has there."""
    named = {str(row["External_ID__c"]): row["Name"] for row in world.server.backend.rows("Opportunity")}
    assert named == names_of_source(world)


def names_of_source(world: World) -> dict[str, str]:
    pairs = world.server.backend.datacloud.seed_keys(
        "SELECT \"ExternalId__c\" || '=' || replace(\"Name__c\", '=', '') FROM \"Opportunity__dlm\""
    )
    return dict(pair.split("=", 1) for pair in pairs)


def touch(world: World, where: str, modified: str = "CURRENT_TIMESTAMP", name: str = "touched") -> None:
    """Change some rows' names, and say when that was."""
    world.server.backend.datacloud.change(
        f'UPDATE "Opportunity__dlm" SET "Name__c" = \'{name}\', "LastModified__c" = {modified} WHERE {where}'
    )


def add(world: World, key: str, modified: str) -> None:
    """One more row, like the first."""
    world.server.backend.datacloud.change(
        f'INSERT INTO "Opportunity__dlm" SELECT * REPLACE (\'{key}\' AS "ExternalId__c", {modified} AS '
        '"LastModified__c") FROM "Opportunity__dlm" WHERE "ExternalId__c" = \'OPP-0000001\''
    )


def rows(*numbers: int) -> str:
    return f'"ExternalId__c" IN ({", ".join(f"{chr(39)}OPP-{number:07d}{chr(39)}" for number in numbers)})'


def watermark(world: World) -> Watermark:
    found = world.store.watermark("opportunity")
    assert found is not None
    return found


def at(moment: str) -> str:
    return f"TIMESTAMPTZ '{moment}'"


# -- what is read


def test_only_what_was_modified_since_is_read_and_the_overlap_once_more():
    with loaded_world() as world:
        assert watermark(world).as_of.isoformat() == NEWEST
        touch(world, rows(2, 7), at("2025-01-20 10:00:00+00"))
        assert_completed(run_incrementally(world, "second"), rows=3)  # the two, and the newest of the run before
        assert_up_to_date(world)
        assert watermark(world).as_of.isoformat() == "2025-01-20T10:00:00+00:00"
        assert watermark(world).run_id == "second"
        assert_completed(run_incrementally(world, "third"), rows=2)


@pytest.mark.parametrize("by", ["key", "parent"])
def test_every_page_and_every_query_that_is_asked_again_has_the_same_window(by):
    document = a_load().model_dump(mode="json")
    document["pace"] |= {"delay_seconds": 600, "batch_rows": 2}
    document["partitioning"] |= {"by": by, "count": 2}
    with open_world(source=_SOURCE, load=Load.model_validate(document), query_kept_seconds=300.0) as world:
        world.execute({"load": "opportunity"}, "full")
        touch(world, rows(1, 2, 3, 4, 5, 6, 7))
        assert_completed(run_incrementally(world, "second"), rows=8)
        assert_up_to_date(world)


def test_a_row_without_a_time_of_modification_is_in_every_window_and_counted():
    with loaded_world() as world:
        touch(world, rows(3, 4), "NULL")
        assert_completed(run_incrementally(world, "second"), rows=3)
        assert_up_to_date(world)
        assert world.run("second").undated_rows == 2
        assert b'"undated_rows": 2' in world.files.read(receipt_key("second"))


def test_a_row_dated_in_the_future_hides_nothing_that_is_modified_before():
    with loaded_world() as world:
        touch(world, rows(5), at("2999-01-01 00:00:00+00"))
        assert_completed(run_incrementally(world, "second"))
        assert watermark(world).as_of.isoformat() == NEWEST
        touch(world, rows(5), at("2999-01-01 00:00:00+00"), name="touched again")
        touch(world, rows(6), at("2025-01-14 00:00:00+00"))
        assert_completed(run_incrementally(world, "third"))
        assert_up_to_date(world)


def test_a_row_that_arrives_late_is_caught_within_the_overlap_and_only_there():
    with loaded_world() as world:
        add(world, "LATE", at("2025-01-12 23:00:01+00"))
        add(world, "TOO-LATE", at("2025-01-12 22:59:59+00"))
        assert_completed(run_incrementally(world, "second"), rows=2)
        assert "LATE" in world.loaded_keys
        assert "TOO-LATE" not in world.loaded_keys


def test_a_date_without_a_time_lets_the_whole_day_be_read_again():
    source = with_column(_SOURCE, "LastModified__c", "DATE '2025-01-01' + CAST(n AS INTEGER)")
    with loaded_world(source=source) as world:
        touch(world, rows(1), "DATE '2025-01-13'")
        assert_completed(run_incrementally(world, "second"), rows=2)
        assert_up_to_date(world)


def test_nothing_to_read_is_a_complete_run():
    with loaded_world() as world:
        world.server.backend.datacloud.change(f'DELETE FROM "Opportunity__dlm" WHERE {rows(ROWS)}')
        assert_completed(run_incrementally(world, "second"), rows=0)
        assert watermark(world).run_id == "full", "the watermark does not go back"
        assert f"OPP-{ROWS:07d}" in world.loaded_keys, "what is deleted at the source stays at the target"


def test_a_run_with_nothing_to_read_that_died_before_its_end_is_resumed():
    with loaded_world() as world:
        world.server.backend.datacloud.change(f'DELETE FROM "Opportunity__dlm" WHERE {rows(ROWS)}')
        world.plan({"load": "opportunity", "mode": "incremental"}, "second")
        world.executions.end("second")
        verdict = world.execute({"mode": "resume", "run_id": "second"}, "again")
        assert verdict is not None
        assert_completed(verdict, rows=0)


def test_the_newest_row_of_a_key_wins_though_another_one_is_in_every_window():
    with loaded_world(a_load(duplicates="keep_newest")) as world:
        add(world, "OPP-0000003", "NULL")
        world.server.backend.datacloud.change(
            'UPDATE "Opportunity__dlm" SET "Name__c" = \'undated\' WHERE "LastModified__c" IS NULL'
        )
        verdict = run_incrementally(world, "second")
        assert_completed(verdict, rows=2)
        assert (verdict.succeeded, verdict.duplicates_dropped) == (1, 1)
        assert "undated" not in {row["Name"] for row in world.server.backend.rows("Opportunity")}


def test_a_second_row_of_a_key_ends_the_plan_though_the_first_is_outside_of_the_window():
    with loaded_world() as world:
        add(world, "OPP-0000003", "CURRENT_TIMESTAMP")
        verdict = run_incrementally(world, "second")
        assert (verdict.next, verdict.error) == ("Fail", "DuplicateKeys")
        assert watermark(world).run_id == "full"


# -- what goes on meanwhile


def test_a_row_that_is_modified_at_any_moment_of_a_run_is_loaded_by_the_next():
    for call in every(53, range(1, _calls_of_an_incremental_run() + 1)):
        with loaded_world(a_load(batch_rows=2)) as world:
            touch(world, rows(1, 4, 8), at("2025-01-20 00:00:00+00"))
            world.stall.calls, world.stall.holds = 0, call
            world.stall.happening = lambda: touch(world, rows(4, 9), at("2025-01-20 00:00:01+00"), name="meanwhile")
            assert_completed(run_incrementally(world, "second"))
            assert_completed(run_incrementally(world, "third"))
            assert_up_to_date(world)
            assert recorded_account(world, "second").balances


def _calls_of_an_incremental_run() -> int:
    with loaded_world(a_load(batch_rows=2)) as world:
        touch(world, rows(1, 4, 8), at("2025-01-20 00:00:00+00"))
        world.stall.calls = 0
        run_incrementally(world, "second")
        return world.stall.calls


def test_a_task_that_dies_after_any_effect_leaves_run_and_watermark_of_one_mind():
    for effects in every(23, range(1, _effects_of_an_incremental_run() + 1)):
        with loaded_world(a_load(batch_rows=2)) as world:
            touch(world, rows(1, 4, 8), at("2025-01-20 00:00:00+00"))
            world.after(effects)
            verdict = run_incrementally(world, "second")
            assert world.fuse.has_blown
            assert_completed(verdict, rows=4)
            assert_up_to_date(world)
            assert watermark(world).run_id == "second"


def _effects_of_an_incremental_run() -> int:
    with loaded_world(a_load(batch_rows=2)) as world:
        touch(world, rows(1, 4, 8), at("2025-01-20 00:00:00+00"))
        before = world.fuse.effects
        run_incrementally(world, "second")
        return world.fuse.effects - before


def test_a_run_that_dies_anywhere_moves_the_watermark_with_its_completion_or_not_at_all():
    with loaded_world() as world:
        touch(world, rows(1), at("2025-01-20 00:00:00+00"))
        plan = world.plan({"load": "opportunity", "mode": "incremental"}, "second")
        assert watermark(world).run_id == "full"
        for lane in plan.lanes:
            world.slices.run_lane("second", lane.partition)
        assert watermark(world).run_id == "full", "all rows are settled, but the run has not ended"
        world.finish({"run_id": "second"}, "second")
        assert (world.run("second").status, watermark(world).run_id) == ("Completed", "second")


def test_a_resumed_run_keeps_its_window():
    with loaded_world(a_load(batch_rows=1)) as world:
        touch(world, rows(1, 2, 3), at("2025-01-20 00:00:00+00"))
        task = world.plan({"load": "opportunity", "mode": "incremental"}, "second")
        world.store.ask_to_halt("second", Halt.PAUSE)
        assert world.go_on_after(task, "second").status == "Paused"
        world.executions.end("second", "SUCCEEDED")
        assert watermark(world).run_id == "full"
        touch(world, rows(9), at("2025-02-01 00:00:00+00"))
        verdict = world.execute({"mode": "resume", "run_id": "second"}, "again")
        assert_completed(verdict)
        assert watermark(world).as_of.isoformat() == "2025-01-20T00:00:00+00:00", "as its plan knew it"
        assert world.run("second").modified_after == watermark_start(NEWEST)
        assert_completed(run_incrementally(world, "third"))
        assert_up_to_date(world)


def watermark_start(as_of: str) -> datetime:
    return datetime.fromisoformat(as_of) - timedelta(seconds=OVERLAP_SECONDS)


# -- who sets the watermark


@pytest.mark.parametrize("mode", ["sample", "plan"])
def test_a_run_of_some_rows_or_none_sets_no_watermark(mode):
    with open_world(source=_SOURCE, load=a_load()) as world:
        verdict = world.execute({"load": "opportunity", "mode": mode}, "first")
        assert verdict is not None
        assert (verdict.status, verdict.source_rows) == ("Completed", ROWS)
        assert world.store.watermark("opportunity") is None


def test_a_sample_brings_no_older_row_of_a_key_back():
    """No window would read the newer one again."""
    with loaded_world(a_load(duplicates="keep_newest")) as world:
        add(world, "opp-0000001", at("2025-01-20 00:00:00+00"))
        touch(world, "\"ExternalId__c\" = 'opp-0000001'", at("2025-01-20 00:00:00+00"))
        assert_completed(run_incrementally(world, "second"))
        verdict = world.execute({"load": "opportunity", "mode": "sample", "sample": {"rows": 2}}, "sample")
        assert_completed(verdict, rows=2)
        assert (recorded_account(world, "sample").duplicates_dropped, verdict and verdict.succeeded) == (1, 1)
        names = {str(row["External_ID__c"]): row["Name"] for row in world.server.backend.rows("Opportunity")}
        assert {name for key, name in names.items() if key.upper() == "OPP-0000001"} == {"touched"}


def test_a_retry_of_rejected_rows_sets_no_watermark():
    with open_world(source=generated_opportunities(ROWS, rejected_share=0.4), load=a_load()) as world:
        verdict = world.execute({"load": "opportunity"}, "full")
        assert verdict is not None
        assert verdict.rejected
        assert verdict.error == "SuccessRateBelowCriterion"
        assert watermark(world).run_id == "full", "rejected rows do not hold it back"
        world.execute({"mode": "retry_failed", "of": "full"}, "retry")
        assert watermark(world).run_id == "full"


def test_a_run_that_has_not_completed_sets_no_watermark():
    with loaded_world() as world:
        touch(world, rows(1))
        world.plan({"load": "opportunity", "mode": "incremental"}, "second")
        world.executions.end("second")
        world.finish({"input": {"run_id": "second"}}, "second", ended="ABORTED")
        assert (world.run("second").status, watermark(world).run_id) == ("Stopped", "full")
        assert_completed(run_incrementally(world, "third"), rows=2)


def test_a_load_that_does_not_tell_when_rows_were_modified_has_no_watermark():
    document = a_load().model_dump(mode="json")
    document["source"]["modified"] = None
    with open_world(source=_SOURCE, load=Load.model_validate(document)) as world:
        assert_completed(world.execute({"load": "opportunity"}, "full"))
        assert world.store.watermark("opportunity") is None
        verdict = run_incrementally(world, "second")
        assert (verdict.next, verdict.error) == ("Fail", "InvalidInput")
        assert "source.modified" in verdict.cause


def test_a_column_that_holds_no_times_is_refused_before_anything_is_written():
    with open_world(source=with_column(_SOURCE, "LastModified__c", "'soon'"), load=a_load()) as world:
        verdict = world.execute({"load": "opportunity"}, "full")
        assert verdict is not None
        assert verdict.error == "SourceRejected"
        assert not world.loaded_keys


def test_a_watermark_that_another_run_has_set_meanwhile_is_read_again():
    with loaded_world() as world:
        touch(world, rows(1), at("2025-01-20 00:00:00+00"))
        plan = world.plan({"load": "opportunity", "mode": "incremental"}, "second")
        for lane in plan.lanes:
            world.slices.run_lane("second", lane.partition)
        known = watermark(world)
        other = replace(known, run_id="other")
        run = world.run("second")
        with pytest.raises(StateChanged, match="watermark of opportunity"):
            world.store.finish_run(
                run,
                status=RunStatus.COMPLETED,
                ended_at=known.set_at,
                error=None,
                cause=None,
                watermark=replace(known, run_id="second"),
                instead_of=other,
            )
        assert world.run("second") == run, "run and watermark, or neither"
        assert watermark(world) == known


# -- when only a full run will do


def assert_full_run_needed(world: World, verdict: Verdict, why: str) -> None:
    assert (verdict.next, verdict.status, verdict.error) == ("Fail", "Failed", "FullRunNeeded")
    assert why in verdict.cause
    assert "mode full" in verdict.cause
    assert world.run(verdict.run_id).error == "FullRunNeeded"


def test_without_a_full_run_there_is_nothing_to_go_on_from():
    with open_world(source=_SOURCE, load=a_load()) as world:
        assert_full_run_needed(world, run_incrementally(world, "first"), "no full run of opportunity has completed")
        assert not world.loaded_keys


def test_a_full_run_that_finds_no_time_of_modification_gives_nothing_to_go_on_from():
    undated = with_column(_SOURCE, "LastModified__c", "CAST(NULL AS TIMESTAMPTZ)")
    with open_world(source=undated, load=a_load()) as world:
        assert_completed(world.execute({"load": "opportunity"}))
        why = "no full run of opportunity has completed that found a row with LastModified__c"
        assert_full_run_needed(world, run_incrementally(world, "second"), why)


def _with(load: Load, changes: dict[str, Any]) -> Load:
    return Load.model_validate(load.model_dump(mode="json") | changes)


@pytest.mark.parametrize("what", ["fields", "where"])
def test_another_mapping_needs_a_full_run(what):
    with loaded_world() as world:
        document = world.load.model_dump(mode="json")
        if what == "fields":
            del document["fields"]["Description__c"]
        else:
            document["source"]["where"] = '"Amount__c" IS NOT NULL'
        world.load = Load.model_validate(document)
        why = "the mapping of opportunity has changed since run full completed"
        assert_full_run_needed(world, run_incrementally(world, "second"), why)
        assert_completed(world.execute({"load": "opportunity"}, "third"))
        assert_completed(run_incrementally(world, "fourth"))


def test_another_pace_or_other_lanes_need_none():
    with loaded_world() as world:
        assert_completed(
            run_incrementally(world, "second", pace={"batch_rows": 3}, partitioning={"by": "parent", "count": 2})
        )


def test_another_parent_column_needs_none():
    with loaded_world() as world:
        document = world.load.model_dump(mode="json")
        document["source"]["parent"] = "StageName__c"
        world.load = Load.model_validate(document)
        assert_completed(run_incrementally(world, "second"))


def test_another_target_needs_a_full_run():
    with loaded_world() as world:
        item = world.dynamodb.get_item(
            TableName=TABLE, Key={"pk": {"S": "LOAD#opportunity"}, "sk": {"S": "WATERMARK"}}
        )["Item"]
        world.dynamodb.put_item(TableName=TABLE, Item=item | {"target": {"S": "00D9#opportunity"}})
        assert "expires_at" not in item, "a watermark is kept for ever"
        assert_full_run_needed(world, run_incrementally(world, "second"), "was last loaded into 00D9#opportunity")


def test_a_full_run_that_dies_under_another_mapping_leaves_nothing_to_go_on_from():
    with loaded_world() as world:
        before = world.load
        world.load = renamed(before, "Name", "name")
        world.plan({"load": "opportunity"}, "second")
        world.executions.end("second")
        world.finish({"input": {"run_id": "second"}}, "second", ended="ABORTED")
        world.load = before
        why = "since run full completed, a run under another mapping has begun to write"
        assert_full_run_needed(world, run_incrementally(world, "third"), why)


def test_an_overlap_of_a_load_may_change_without_a_full_run():
    with loaded_world() as world:
        world.load = _with(world.load, {"incremental": {"overlap_seconds": 3 * 86_400}})
        assert_completed(run_incrementally(world, "second"), rows=3)
