"""Values that break what is careless arrive as they were, or are rejected with a reason, and harm no other row."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from local.org import Source, generated_opportunities
from local.org.opportunities import OPPORTUNITY
from local.org.schema import ObjectSchema
from local.org.sources import Table
from massive_upload.domain.file_keys import receipt_key
from massive_upload.domain.key_digest import KeyDigest
from massive_upload.errors import SourceRejected
from tests.integration.usecases.sources import HalfPairs, opportunities_with, with_column
from tests.integration.usecases.world import RUN, World, open_world, paced

TRIMMED = "".join(map(chr, range(33)))
LONGEST_CELL = 131_072
"""Bulk API 2.0 guide: a field holds at most so many characters."""

HOSTILE = (
    "it's",
    '"quoted"',
    'one"quote',
    '"',
    "two\nlines",
    "two\r\nlines",
    "a\rreturn",
    "nul\x00inside",
    "comma, then",
    " ,",
    "=1+1",
    "@SUM(A1)",
    "-2+3",
    "+1",
    "|cmd",
    "\u202eright to left",
    "\u200fmark",
    "\ufeffbyte order mark",
    "\u00a0no-break\u00a0",
    "\u3000wide blank\u3000",
    "  leading",
    "trailing \t ",
    '\'); DROP TABLE "Opportunity__dlm"; --',
    "\\",
    "\\n",
    ":after_key",
    "$1 ? {0} %s",
    "NULL",
    "#N/A or not",
    "\U0001f469\u200d\U0001f680",
)


def sql_of(text: str) -> str:
    """A text as an SQL expression; no SQL statement can hold a NUL."""
    return "'" + text.replace("'", "''").replace("\0", "' || chr(0) || '") + "'"


def one_of(texts: tuple[str, ...]) -> str:
    """An expression for the n-th of these texts."""
    return f"[{', '.join(map(sql_of, texts))}][n]"


def rejected(world: World) -> list[dict[str, str]]:
    keys = json.loads(world.files.read(receipt_key(RUN)))["rejected_files"]
    return [row for key in keys for row in csv.DictReader(io.StringIO(world.files.read(key).decode(), newline=""))]


def records(world: World) -> Mapping[str, Mapping[str, object]]:
    return {str(row["External_ID__c"]): row for row in world.server.backend.rows("Opportunity")}


@pytest.mark.parametrize(("column", "field"), [("Name__c", "Name"), ("Description__c", "Description")])
def test_texts_arrive_as_they_were_but_for_what_salesforce_trims(column, field):
    source = opportunities_with(column, one_of(HOSTILE), rows=len(HOSTILE))
    with open_world(source=source, load=paced(batch_rows=9)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded) == ("Completed", len(HOSTILE))
        found = [records(world)[key][field] for key in sorted(world.loaded_keys)]
        assert found == [text.strip(TRIMMED) for text in HOSTILE]


def test_keys_arrive_as_they_were_also_at_the_edges_of_lanes_and_where_a_query_is_asked_again():
    source = opportunities_with("ExternalId__c", one_of((*HOSTILE, "#N/A")), rows=len(HOSTILE) + 1)
    load = paced(lanes=3, batch_rows=4, delay_seconds=600)
    with open_world(source=source, load=load, query_kept_seconds=300.0) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", len(HOSTILE), 1)
        assert world.loaded_keys == {text.strip(TRIMMED) for text in HOSTILE}
        assert [row["error_code"] for row in rejected(world)] == ["MISSING_ARGUMENT"], "#N/A is no key"


def test_rows_with_hostile_keys_are_found_again_in_the_results():
    source = opportunities_with("ExternalId__c", one_of(HOSTILE), rows=len(HOSTILE))
    faults = """
- match: {object: Opportunity, nth: 1}
  action: {row_failures: {share: 0.6, code: UNABLE_TO_LOCK_ROW}}
- match: {object: Opportunity, nth: 2}
  action: {row_failures: {share: 0.6, code: STRING_TOO_LONG}}
"""
    with open_world(source=source, load=paced(batch_rows=100), faults=faults) as world:
        verdict = world.execute()
        assert verdict is not None
        kept = {row["External_ID__c"].strip(TRIMMED) for row in rejected(world)}
        assert 0 < len(kept) == verdict.rejected
        assert world.loaded_keys == {text.strip(TRIMMED) for text in HOSTILE} - kept


def test_of_keys_that_differ_by_white_space_that_salesforce_keeps_each_has_its_own_outcome():
    key = "CASE n WHEN 1 THEN 'K' WHEN 2 THEN 'K' || chr(160) ELSE 'K-' || n END"
    too_long = "CASE n WHEN 2 THEN repeat('x', 200) ELSE 'short' END"
    source = with_column(opportunities_with("Name__c", too_long), "ExternalId__c", key)
    with open_world(source=source, load=paced(batch_rows=100)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.rejected) == ("Completed", 29, 1)
        (row,) = rejected(world)
        assert row["External_ID__c"] == "K\u00a0"
        assert "K" in world.loaded_keys


def test_parents_are_found_by_hostile_keys():
    source = opportunities_with("AccountKey__c", one_of(HOSTILE), rows=len(HOSTILE))
    accounts, opportunities = source.tables
    keys = ", ".join(f"({sql_of(text.strip(TRIMMED))}, 'Account')" for text in HOSTILE)
    hostile = Table(accounts.name, f'SELECT * FROM (VALUES {keys}) AS keys("ExternalId__c", "Name__c")')
    with open_world(source=replace(source, tables=(hostile, opportunities)), load=paced(batch_rows=100)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.succeeded, verdict.rejected) == (len(HOSTILE), 0)
        keys_by_id = {str(row["Id"]): row["External_ID__c"] for row in world.server.backend.rows("Account")}
        found = [keys_by_id[str(records(world)[key]["AccountId"])] for key in sorted(world.loaded_keys)]
        assert found == [text.strip(TRIMMED) for text in HOSTILE]


def test_a_text_of_nothing_but_what_salesforce_trims_clears_its_field():
    blanks = ("", " ", "\t\n", "\x00", "\u00a0", "\u3000")
    source = opportunities_with("Description__c", one_of(blanks), rows=len(blanks))
    with open_world(source=source, load=paced(batch_rows=100)) as world:
        world.execute()
        found = [records(world)[key]["Description"] for key in sorted(world.loaded_keys)]
        assert found == [None, None, None, None, "\u00a0", "\u3000"]


def test_the_longest_cell_arrives_whole_and_one_that_is_longer_is_rejected():
    text = f"repeat('x', {LONGEST_CELL} + n - 2) || '\"'"
    source = opportunities_with("Description__c", text, rows=2)
    with open_world(source=with_long_descriptions(source), load=paced(batch_rows=100)) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.succeeded, verdict.rejected) == (1, 1)
        assert records(world)["OPP-0000001"]["Description"] == "x" * (LONGEST_CELL - 1) + '"'
        (row,) = rejected(world)
        assert (row["error_code"], len(row["Description"])) == ("STRING_TOO_LONG", LONGEST_CELL + 1)


def with_long_descriptions(source: Source) -> Source:
    account, _ = source.objects
    _, *fields = [replace(each, length=max(each.length, LONGEST_CELL)) for each in OPPORTUNITY.fields]
    return replace(source, objects=(account, ObjectSchema(name="Opportunity", key_prefix="006", fields=tuple(fields))))


@pytest.mark.parametrize("every", [1, 4])
def test_rows_that_cannot_be_sent_are_rejected_with_a_reason_and_the_others_arrive(every):
    """Some of the rows, or all of them, so that no batch has anything to send."""
    half = f"CASE WHEN n % {every} = 0 THEN 'a [half] of a pair' ELSE 'whole' END"
    with open_world(source=opportunities_with("Name__c", half, rows=30), load=paced(lanes=2, batch_rows=5)) as world:
        world.transport = HalfPairs(world.transport)
        verdict = world.execute()
        assert verdict is not None
        unfit = 30 // every
        assert (verdict.succeeded, verdict.rejected, verdict.source_rows) == (30 - unfit, unfit, 30)
        rows = rejected(world)
        assert {row["External_ID__c"] for row in rows} == world.keys_of() - world.loaded_keys
        assert {row["Name"] for row in rows} == {"a \\ud83d of a pair"}
        assert {(row["error_code"], row["tries"]) for row in rows} == {("UNWRITABLE", "0")}
        assert (world.jobs == {}) == (every == 1)
        told = json.loads(world.files.read(receipt_key(RUN)))
        assert told["rejected_by_code"] == {"UNWRITABLE": unfit}
        assert told["succeeded_keys"] == KeyDigest.of(world.loaded_keys).hex
        retry = world.execute({"mode": "retry_failed", "of": RUN}, "retry")
        assert retry is not None
        assert (retry.status, retry.source_rows) == ("Completed", 0), "what is kept is not what the source holds"


@pytest.mark.parametrize("column", ["ExternalId__c", "AccountKey__c"])
def test_a_lane_that_would_end_at_half_of_a_surrogate_pair_is_refused_before_anything_is_written(column):
    """The run's state cannot hold such an edge: DynamoDB, as every UTF-8, has no half pairs."""
    last = f"CASE WHEN n = 30 THEN 'zzz[half]' ELSE {column} END"
    load = paced(lanes=2, by="parent" if column == "AccountKey__c" else "key")
    with open_world(source=opportunities_with(column, last, rows=30), load=load) as world:
        world.transport = HalfPairs(world.transport)
        with pytest.raises(SourceRejected, match="half of a surrogate pair") as raised:
            world.plan({"load": "opportunity"})
        assert "zzz" not in str(raised.value)
        assert world.jobs == {}


HOSTILE_SQL = 'x\'; DROP TABLE "Opportunity__dlm"; --'


@pytest.mark.parametrize(
    "changed",
    [
        {"run_id": HOSTILE_SQL},
        {"mode": HOSTILE_SQL},
        {"partitions": [HOSTILE_SQL]},
        {"of": HOSTILE_SQL},
        {"only": HOSTILE_SQL},
        {"scheduled": HOSTILE_SQL},
        {"pace": {"batch_rows": HOSTILE_SQL}},
        {"pace": {HOSTILE_SQL: 1}},
        {"partitioning": {"by": HOSTILE_SQL}},
        {"partitioning": {"count": HOSTILE_SQL}},
        {"partitioning": {"lane_rows": HOSTILE_SQL}},
        {"sample": {"rows": HOSTILE_SQL}},
        {"source": {"where": HOSTILE_SQL}},
        {"where": HOSTILE_SQL},
        {HOSTILE_SQL: 1},
    ],
    ids=str,
)
def test_the_input_of_an_execution_cannot_bring_sql(changed):
    with open_world(source=generated_opportunities(3)) as world:
        verdict = world.execute({"load": "opportunity", **changed})
        assert verdict is not None
        assert (verdict.next, verdict.error) == ("Fail", "InvalidInput")
        assert world.requests == {}
