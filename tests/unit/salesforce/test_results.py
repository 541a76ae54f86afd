import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massive_upload.salesforce.results import (
    UNCODED,
    DamagedFile,
    ErrorParts,
    FailedRow,
    parse_failed,
    parse_keys,
    split_row_error,
)

LOCKED = "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 200 records: 001a,001b:--"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            LOCKED,
            ErrorParts(
                "UNABLE_TO_LOCK_ROW",
                "unable to obtain exclusive access to this record or 200 records: 001a,001b",
            ),
        ),
        (
            "INVALID_FIELD:Foreign key external ID: p1 not found for field Ext__c in entity Parent__c:Ext__c --",
            ErrorParts(
                "INVALID_FIELD",
                "Foreign key external ID: p1 not found for field Ext__c in entity Parent__c",
                ("Ext__c",),
            ),
        ),
        (
            "REQUIRED_FIELD_MISSING:Required fields are missing: [Name, StageName]:Name, StageName --",
            ErrorParts(
                "REQUIRED_FIELD_MISSING",
                "Required fields are missing: [Name, StageName]",
                ("Name", "StageName"),
            ),
        ),
        (
            "STRING_TOO_LONG:a\nb: too long:Account.Name--\n",
            ErrorParts("STRING_TOO_LONG", "a\nb: too long", ("Account.Name",)),
        ),
        ("DUPLICATE_VALUE:no ending", ErrorParts("DUPLICATE_VALUE", "no ending")),
        ("ERROR_CODE:a text: with a value --", ErrorParts("ERROR_CODE", "a text: with a value --")),
        ("ERROR_CODE", ErrorParts("ERROR_CODE", "")),
        ("ERROR_CODE:", ErrorParts("ERROR_CODE", "")),
        ("InvalidBatch : Field name not found : X", ErrorParts("InvalidBatch", "Field name not found : X")),
        ("InvalidXML:m", ErrorParts("InvalidXML", "m")),
        ("Timeout:m", ErrorParts("Timeout", "m")),
        ("EXCEEDEDQUOTA:m", ErrorParts("EXCEEDEDQUOTA", "m")),
        (f"Ab{'A' * 50_000} is barred", ErrorParts(UNCODED, f"Ab{'A' * 50_000} is barred")),
        ("Mustermann:is barred", ErrorParts(UNCODED, "Mustermann:is barred")),
        ("K00009 : seen before", ErrorParts(UNCODED, "K00009 : seen before")),
        (f"{'LONG_' * 16}CODE:m", ErrorParts(UNCODED, f"{'LONG_' * 16}CODE:m")),
        (
            "TooManyLockFailure...200 Trying again later",
            ErrorParts(UNCODED, "TooManyLockFailure...200 Trying again later"),
        ),
        ("some words: more", ErrorParts(UNCODED, "some words: more")),
        ("", ErrorParts(UNCODED, "")),
    ],
)
def test_row_errors_are_split_at_the_first_colon(text, error):
    assert split_row_error(text) == error


def test_failed_rows_are_read():
    data = f'"sf__Id","sf__Error","Ext__c","Name"\n"006a","{LOCKED}","K1","n"\n"","A_CODE:m:--","K2",""\n'
    assert parse_failed(data.encode(), key_column="Ext__c") == [
        FailedRow(
            key="K1",
            code="UNABLE_TO_LOCK_ROW",
            message="unable to obtain exclusive access to this record or 200 records: 001a,001b",
            fields=(),
        ),
        FailedRow(key="K2", code="A_CODE", message="m", fields=()),
    ]


def test_order_case_and_byte_order_mark_of_the_header_do_not_matter():
    data = b"\xef\xbb\xbfEXT__C, Name ,SF__ERROR,Sf__Id\r\nK1,n,A_CODE:m:--,006a\r\n"
    assert [(row.key, row.code) for row in parse_failed(data, key_column="Ext__c")] == [("K1", "A_CODE")]


def test_the_record_id_may_be_missing():
    rows = parse_failed(b"sf__Error,Ext__c\nA_CODE:m:--,K1\n", key_column="Ext__c")
    assert [row.key for row in rows] == ["K1"]


def test_line_breaks_quotes_and_commas_inside_fields_are_kept():
    data = b'"sf__Id","sf__Error","Ext__c","Text"\n"","A_CODE:one\r\ntwo:Text --","K,""1""\nx","a\n\nb"\n'
    rows = parse_failed(data, key_column="Ext__c")
    assert [(row.key, row.message, row.fields) for row in rows] == [('K,"1"\nx', "one\r\ntwo", ("Text",))]


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"sf__Id,sf__Error,Ext__c\n", b"sf__Id,sf__Error\n", b"SF__ID,sf__Created"]
)
def test_no_rows_are_no_rows(data):
    assert parse_failed(data, key_column="Ext__c") == []
    assert parse_keys(data, key_column="Ext__c") == []


def test_keys_of_unprocessed_rows_are_read_and_blank_lines_passed_over():
    assert parse_keys(b"Name,ext__c\n\na,K1\nb,K2\n\n", key_column="Ext__c") == ["K1", "K2"]


def test_a_long_text_field_is_read():
    long_text = "x" * 300_000
    assert parse_keys(f"Ext__c,Text\nK1,{long_text}\n".encode(), key_column="Ext__c") == ["K1"]


@pytest.mark.parametrize("data", [b"Name\na\n", b"sf__Id,Name\n,a\n", b"sf__Id,sf__Error\n1,a\n", b"<html></html>"])
def test_a_missing_key_column_is_named(data):
    with pytest.raises(DamagedFile, match="Ext__c"):
        parse_keys(data, key_column="Ext__c")


def test_a_missing_error_column_is_named():
    with pytest.raises(DamagedFile, match="sf__Error"):
        parse_failed(b"Ext__c\nK1\n", key_column="Ext__c")


@pytest.mark.parametrize(
    "data",
    [
        b"Ext__c,Name\nK1,a\nK2",
        b"Ext__c,Name\nK1,a,b\n",
        b"Ext__c,Name\nK\xff,a\n",
    ],
)
def test_a_damaged_file_is_told_without_what_it_holds(data):
    with pytest.raises(DamagedFile) as caught:
        parse_keys(data, key_column="Ext__c")
    assert "K1" not in str(caught.value)


def test_a_field_longer_than_salesforce_allows_is_read_all_the_same():
    assert parse_keys(b"Ext__c,Name\nK1," + b"x" * 500_000 + b"\n", key_column="Ext__c") == ["K1"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=20), line_ending=st.sampled_from(["\n", "\r\n"]))
def test_whatever_is_written_as_csv_is_read_back(rows, line_ending):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=line_ending)
    writer.writerow(["Name", "Ext__c"])
    writer.writerows(rows)
    assert parse_keys(file.getvalue().encode(), key_column="Ext__c") == [key for _, key in rows]


def test_keys_and_messages_stay_out_of_representations():
    rows = parse_failed(b"sf__Error,Ext__c\nA_CODE:s3cr3t:--,k3y\n", key_column="Ext__c")
    assert "s3cr3t" not in repr(rows)
    assert "k3y" not in repr(rows)
