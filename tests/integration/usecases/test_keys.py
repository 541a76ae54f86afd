"""Keys of every type that Data Cloud has: those that can be read back from text load, the others are refused."""

import pytest

from massive_upload.domain.progress import RunStatus
from massive_upload.errors import SourceRejected
from tests.integration.usecases.sources import opportunities_with
from tests.integration.usecases.world import RUN, open_world, paced
from tests.thoroughness import some_of

KEY = "ExternalId__c"
NUMERIC_KEYS = {
    "BIGINT": "CAST(n AS BIGINT)",
    "INTEGER": "CAST(n AS INTEGER)",
    "SMALLINT": "CAST(n AS SMALLINT)",
    "BIGINT of 18 digits": "CAST(100000000000000000 + n * 7 AS BIGINT)",
    "DECIMAL(18, 0) of 18 digits": "CAST(900000000000000000 + n * 7 AS DECIMAL(18, 0))",
    "DECIMAL(20, 1)": "CAST(n / 2.0 AS DECIMAL(20, 1))",
    "negative": "CAST(n - 15 AS DECIMAL(20, 1))",
    "Number of Data Cloud": "CAST(n * 7 AS DECIMAL(38, 18))",
    "DECIMAL(38, 0) of 25 digits": "CAST('9' || repeat('0', 17) || lpad(CAST(n AS VARCHAR), 7, '0') AS DECIMAL(38, 0))",
}


@pytest.mark.parametrize(
    "sql",
    some_of(
        NUMERIC_KEYS, "BIGINT of 18 digits", "DECIMAL(20, 1)", "Number of Data Cloud", "DECIMAL(38, 0) of 25 digits"
    ),
)
def test_every_row_of_a_source_with_numeric_keys_is_loaded_once(sql):
    """In lanes whose queries expire between batches, so every cursor and every edge is compared by the server."""
    load = paced(lanes=3, batch_rows=4, delay_seconds=600)
    source = opportunities_with(KEY, sql)
    with open_world(source=source, load=load, query_kept_seconds=300.0) as world:
        verdict = world.execute()
        assert verdict is not None
        assert (verdict.status, verdict.succeeded, verdict.source_rows) == ("Completed", 30, 30)
        assert world.loaded_keys == {key.removesuffix(f".{'0' * 18}") for key in world.keys_of()}
        lanes = world.store.partitions(RUN)
        assert [lane.planned_rows for lane in lanes] == [lane.settled_rows for lane in lanes] == [10, 10, 10]
        assert world.requests["query_sql"] > 4, "the plan's, and more than one for a lane"


@pytest.mark.parametrize(
    ("sql", "type_name"),
    [
        ("CAST(n AS DOUBLE) / 3", "Double"),
        ("CAST(n AS FLOAT) / 3", "Float"),
        ("DATE '2026-01-01' + CAST(n AS INTEGER)", "Date"),
        ("TIMESTAMP '2026-01-01' + to_minutes(n)", "Timestamp"),
        ("TIMESTAMPTZ '2026-01-01 00:00:00Z' + to_minutes(n)", "TimestampTZ"),
        ("TIME '00:00:00' + to_minutes(n)", "Time"),
    ],
)
def test_keys_that_text_cannot_carry_are_refused_before_anything_is_written(sql, type_name):
    with open_world(source=opportunities_with(KEY, sql), load=paced(lanes=3)) as world:
        with pytest.raises(SourceRejected) as raised:
            world.plan({"load": "opportunity"})
        assert str(raised.value) == (
            f"The key {KEY} of Opportunity__dlm is of type {type_name}. Give a key of text or of whole numbers."
        )
        assert (world.run().status, world.store.partitions(RUN)) == (RunStatus.PLANNING, [])
        assert world.jobs == {}
