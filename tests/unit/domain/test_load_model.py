import pytest
from pydantic import ValidationError

from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.domain.load import Load, PaceOverrides, PartitioningOverrides, SampleOverrides
from massive_upload.domain.presets import PACE, LockRisk
from tests.unit.domain.loads import EXTERNAL_ID, KEY, a_load


@pytest.mark.parametrize("risk", LockRisk)
def test_the_pace_is_the_preset_with_what_the_load_changes(risk):
    load = a_load(lock_risk=risk, pace={"delay_seconds": 0, "retry_delays_seconds": []})
    pace = load.effective_pace
    assert (pace.delay_seconds, pace.retry_delays_seconds) == (0, ())
    assert pace.batch_rows == PACE[risk]["batch_rows"]
    assert pace.stagger_seconds == PACE[risk]["stagger_seconds"]


def test_overrides_change_what_they_name_and_leave_the_rest():
    load = a_load(pace={"delay_seconds": 7, "batch_rows": 11}, partitioning={"lane_rows": 5}, sample={"rows": 3})
    changed = load.with_overrides(
        pace=PaceOverrides(batch_rows=99), partitioning=PartitioningOverrides(count=4), sample=SampleOverrides(rows=8)
    )
    assert (changed.effective_pace.batch_rows, changed.effective_pace.delay_seconds) == (99, 7)
    assert (changed.partitioning.count, changed.partitioning.lane_rows) == (4, 5)
    assert changed.sample.rows == 8
    assert (changed.source, changed.target, changed.fields) == (load.source, load.target, load.fields)


def test_without_overrides_a_load_stays_as_it_is():
    load = a_load(pace={"delay_seconds": 7})
    assert load.with_overrides(pace=None, partitioning=None, sample=None) == load


def test_a_load_survives_its_frozen_form():
    load = a_load({"A__c": {"to": "Account.External_ID__c", "type": "number", "null": "keep"}}, lock_risk="high")
    assert Load.model_validate_json(load.model_dump_json()) == load


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fields": {"Name__c": {"to": "Name"}}}, "is not mapped"),
        ({"fields": {KEY: {"to": "Name"}}}, "must go to the external id"),
        ({"fields": {KEY: {"to": EXTERNAL_ID.lower()}}}, "must go to the external id"),
        (
            {"fields": {KEY: {"to": EXTERNAL_ID}, "A": {"to": "Name"}, "B": {"to": "name"}}},
            "both go to",
        ),
        ({"fields": {KEY: {"to": EXTERNAL_ID, "type": "number"}}}, "has the type number, which may make two keys one"),
        ({"fields": {KEY: {"to": EXTERNAL_ID, "type": "date"}}}, "has the type date, .* leave its type out"),
        ({"fields": {KEY: {"to": EXTERNAL_ID, "type": "datetime"}}}, "has the type datetime"),
        ({"fields": {KEY: {"to": EXTERNAL_ID, "type": "boolean"}}}, "has the type boolean"),
        ({"duplicates": "keep_newest"}, "source.modified"),
        ({"fields": {KEY: {"to": EXTERNAL_ID}, 'A" FROM x --': {"to": "Name"}}}, "pattern"),
        ({"fields": {KEY: {"to": EXTERNAL_ID}, "A": {"to": "Account.Owner.Name"}}}, "pattern"),
        ({"pace": {"batch_rows": 0}}, "greater than or equal to 1"),
        ({"pace": {"delay_seconds": LONG_WAIT_SECONDS + 1}}, "less than or equal to 600"),
        ({"partitioning": {"count": 1001}}, "less than or equal to 1000"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_a_load_that_cannot_be_right_is_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        Load.model_validate(a_load().model_dump() | changes)


@pytest.mark.parametrize("to", ["Name", "Account.External_ID__c", "Parent__r.Key__c", "Lead:Who.Email"])
def test_fields_may_be_of_the_object_or_of_a_parent(to):
    assert a_load({"A__c": {"to": to}}).fields["A__c"].to == to
