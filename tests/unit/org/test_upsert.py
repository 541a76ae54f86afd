from decimal import Decimal

import pytest

from tests.unit.org.support import REQUIRED


def test_a_known_key_updates_and_a_new_one_creates(org):
    first = org.deal("a", Description="old")
    second = org.deal("a", Description="new")
    other = org.deal("b")
    assert first == second != other
    assert {row["External_ID__c"]: row["Description"] for row in org.backend.rows("Opportunity")} == {
        "a": "new",
        "b": None,
    }


def test_external_ids_match_without_regard_to_case(org):
    assert org.deal("Key-1") == org.deal("KEY-1")
    assert len(org.backend.rows("Opportunity")) == 1


def test_external_ids_of_a_case_sensitive_field_match_exactly(org):
    contacts = {"object": "Contact", "externalIdFieldName": "Number__c"}
    upper = org.upsert([{"Number__c": "A"}], **contacts)
    lower = org.upsert([{"Number__c": "a"}], **contacts)
    assert upper["A"] != lower["a"]


def test_an_empty_value_is_ignored_and_na_clears_the_field(org):
    org.deal("a", Description="kept", Amount="1")
    org.deal("a", Description="", Amount="#N/A")
    assert org.only_record()["Description"] == "kept"
    assert org.only_record()["Amount"] is None


def test_text_is_trimmed(org):
    org.deal("  a ", Description="  inner  blanks \n")
    assert org.only_record()["External_ID__c"] == "a"
    assert org.only_record()["Description"] == "inner  blanks"


@pytest.mark.parametrize(
    "text", ["9007199254740993.17", "-0.01", "1234567890123456.78", "0", "1E-5", "1.5e3", "+7", ".5", "007"]
)
def test_numbers_are_kept_digit_for_digit(org, text):
    org.deal("a", Amount=text)
    assert Decimal(org.only_record()["Amount"]) == Decimal(text)
    assert "E" not in org.only_record()["Amount"].upper()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05.678+02:00", "2026-01-02T01:04:05.678Z"),
    ],
)
def test_datetimes_are_kept_in_utc_to_the_millisecond(org, text, kept):
    org.deal("a", Source_Modified__c=text)
    assert org.only_record()["Source_Modified__c"] == kept


@pytest.mark.parametrize(
    ("text", "kept"), [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False)]
)
def test_booleans_are_true_false_1_or_0(org, text, kept):
    org.deal("a", IsPrivate=text)
    assert org.only_record()["IsPrivate"] is kept


def test_a_boolean_that_is_not_given_is_false(org):
    org.deal("a")
    assert org.only_record()["IsPrivate"] is False


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        (
            "Amount",
            "abc",
            "INVALID_FIELD:Failed to deserialize field at col 4. Due to, 'abc' is not a valid value for the type "
            "xsd:double:Amount --",
        ),
        (
            "CloseDate",
            "2026-02-30",
            "INVALID_FIELD:Failed to deserialize field at col 3. Due to, '2026-02-30' is not a valid value for the "
            "type xsd:date:CloseDate --",
        ),
        (
            "Source_Modified__c",
            "2026-01-01 10:00:00",
            "INVALID_FIELD:Failed to deserialize field at col 4. Due to, '2026-01-01 10:00:00' is not a valid value "
            "for the type xsd:dateTime:Source_Modified__c --",
        ),
        (
            "IsPrivate",
            "yes",
            "INVALID_FIELD:Failed to deserialize field at col 4. Due to, 'yes' is not a valid value for the type "
            "xsd:boolean:IsPrivate --",
        ),
        (
            "Amount",
            "12345678901234567",
            "NUMBER_OUTSIDE_VALID_RANGE:Amount: value outside of valid range on numeric field: 12345678901234567"
            ":Amount --",
        ),
        (
            "Name",
            "x" * 121,
            f"STRING_TOO_LONG:Opportunity Name: data value too large: {'x' * 121} (max length=120):Name --",
        ),
        (
            "StageName",
            "Nowhere",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST:Stage: bad value for restricted picklist field: Nowhere"
            ":StageName --",
        ),
        (
            "Account.External_ID__c",
            "p1",
            "INVALID_FIELD:Foreign key external ID: p1 not found for field External_ID__c in entity Account"
            ":External_ID__c --",
        ),
        ("AccountId", "001000000000000", "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--"),
        ("AccountId", "x", "MALFORMED_ID:Account ID: id value of incorrect type: x:AccountId --"),
        ("Name", "#N/A", "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"),
        ("Name", "   ", "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"),
    ],
)
def test_a_refused_row_says_code_message_and_fields(org, field, value, error):
    assert org.deal("a", **{field: value}) == error
    assert org.backend.rows("Opportunity") == []


def test_required_fields_are_required_of_new_records_only(org):
    missing = org.upsert([{"External_ID__c": "a", "Description": "x"}])["a"]
    assert missing == (
        "REQUIRED_FIELD_MISSING:Required fields are missing: [Name, StageName, CloseDate]:Name,StageName,CloseDate --"
    )
    record_id = org.deal("a")
    assert org.upsert([{"External_ID__c": "a", "Description": "x"}])["a"] == record_id
    assert org.deal("a", StageName="#N/A").startswith("REQUIRED_FIELD_MISSING:")


@pytest.mark.parametrize("value", ["", "#N/A"])
def test_an_id_column_may_be_there_if_it_is_empty(org, value):
    record_id = org.deal("a", Id=value)
    assert org.only_record()["Id"] == record_id


def test_an_id_cannot_be_given_when_another_key_is_matched_by(org):
    refused = org.deal("a", Id="006000000000000")
    assert refused == "INVALID_FIELD_FOR_INSERT_UPDATE:cannot specify Id in an insert call:Id --"


def test_a_row_without_a_key_is_refused(org):
    assert org.upsert([{"External_ID__c": "", **REQUIRED}])[""] == (
        "MISSING_ARGUMENT:External_ID__c not specified:External_ID__c --"
    )


def test_a_lookup_by_external_id_finds_the_parent_in_any_case(org):
    accounts = {row["External_ID__c"]: row["Id"] for row in org.backend.rows("Account")}
    org.deal("a", **{"Account.External_ID__c": "a3"})
    assert org.only_record()["AccountId"] == accounts["A3"]


@pytest.mark.parametrize("header", ["AccountId", "Account.Id"])
@pytest.mark.parametrize("characters", [15, 18])
def test_a_lookup_by_id_takes_15_or_18_characters(org, header, characters):
    account = org.backend.rows("Account")[2]["Id"]
    org.deal("a", **{header: account[:characters]})
    assert org.only_record()["AccountId"] == account


def test_a_lookup_is_cleared_by_na(org):
    org.deal("a", **{"Account.External_ID__c": "A1"})
    org.deal("a", **{"Account.External_ID__c": "#N/A"})
    assert org.only_record()["AccountId"] is None


def test_the_same_key_twice_in_one_chunk_fails_every_row_that_has_it(org):
    keys = ["k1", "other", "K1"]
    outcomes = org.upsert([{"External_ID__c": key, **REQUIRED} for key in keys])
    assert outcomes["k1"] == "DUPLICATE_VALUE:Duplicate external id specified: k1:External_ID__c --"
    assert outcomes["K1"] == "DUPLICATE_VALUE:Duplicate external id specified: K1:External_ID__c --"
    assert outcomes["other"].startswith("006")


def test_the_same_key_in_two_chunks_is_written_twice(org):
    rows = [{"External_ID__c": f"k{n}", **REQUIRED} for n in range(200)]
    job = org.finish(org.submit_rows([*rows, {**rows[0], "Name": "last"}]))
    assert job["numberRecordsFailed"] == 0
    assert len(org.backend.rows("Opportunity")) == 200


def test_another_external_id_of_the_object_must_be_free(org):
    contacts = {"object": "Contact", "externalIdFieldName": "Number__c"}
    holder = org.upsert([{"Number__c": "1", "Badge__c": "b1"}], **contacts)["1"]
    assert org.upsert([{"Number__c": "2", "Badge__c": "B1"}], **contacts)["2"] == (
        f"DUPLICATE_VALUE:duplicate value found: Badge__c duplicates value on record with id: {holder}:Badge__c --"
    )
    assert org.upsert([{"Number__c": "1", "Badge__c": "b2"}], **contacts)["1"] == holder
    assert org.upsert([{"Number__c": "2", "Badge__c": "b1"}], **contacts)["2"] != holder


def test_equal_contents_have_equal_digests_whatever_the_order_of_writing(make_org):
    one, other = make_org(), make_org()
    for key in ("a", "b"):
        one.deal(key)
    for key in ("b", "a"):
        other.deal(key)
    assert one.backend.digest("Opportunity") == other.backend.digest("Opportunity")
    other.deal("a", Description="more")
    assert one.backend.digest("Opportunity") != other.backend.digest("Opportunity")
