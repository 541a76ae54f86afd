import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cli.errors import UsageMistake
from cli.results import make_private_directory, save_results, saved_rejects
from massive_upload.domain.progress import Run, RunStatus
from massive_upload.errors import InternalError
from tests.unit.cli.progress_examples import STARTED_AT, a_run

ENDED_AT = STARTED_AT + timedelta(seconds=90, microseconds=987)
HEADER = "External_ID__c,Name,error_code,error_message,error_fields,tries\n"


class Bucket:
    """`massive_upload.ports.Files` in a dictionary."""

    def __init__(self, objects: dict[str, str]) -> None:
        self.objects = objects

    def read(self, key: str) -> bytes:
        if key not in self.objects:
            raise InternalError(f"AWS refused a call for {key}.", code="NoSuchKey")
        return self.objects[key].encode()

    def write(self, key: str, content: bytes, *, content_type: str = "text/csv") -> None:
        self.objects[key] = content.decode()


def bucket_with(run_id: str, *names: str) -> Bucket:
    keys = [f"runs/{run_id}/rejected/{name}" for name in names]
    end = {"status": "Completed", "ended_at": ENDED_AT.isoformat()}
    receipt = json.dumps({"run_id": run_id, "rejected_files": keys, **end})
    return Bucket({f"runs/{run_id}/receipt.json": receipt} | dict.fromkeys(keys, HEADER))


def ended(run_id: str) -> Run:
    return a_run(run_id=run_id, ended_at=ENDED_AT.replace(microsecond=0))  # an item keeps milliseconds


def test_the_receipt_and_every_file_that_it_names_are_copied(tmp_path):
    results = save_results(bucket_with("a", "0000/000000-0.csv", "0001/000002-1.csv"), ended("a"), tmp_path)

    assert results.receipt == tmp_path / "receipt.json"
    assert results.rejected_files == (
        tmp_path / "rejected/0000/000000-0.csv",
        tmp_path / "rejected/0001/000002-1.csv",
    )
    assert all(path.read_text() == HEADER for path in results.rejected_files)


def test_files_of_an_earlier_run_do_not_stay_beside_those_of_the_new_one(tmp_path):
    save_results(bucket_with("a", "0000/000000-0.csv", "0001/000000-0.csv"), ended("a"), tmp_path)
    save_results(bucket_with("b", "0001/000000-0.csv"), ended("b"), tmp_path)

    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.csv")] == [Path("rejected/0001/000000-0.csv")]


FOREIGN = [b"{}", b"[]", b"{", b"\xff", b'{"run_id": "a", "rejected_files": 1}', b'{"run_id": 1, "total": 3}']


@pytest.mark.parametrize("content", FOREIGN)
def test_a_file_that_is_no_receipt_takes_nothing_of_a_run_away(tmp_path, content):
    (tmp_path / "receipt.json").write_bytes(content)

    results = save_results(bucket_with("a", "0000/1.csv"), ended("a"), tmp_path)

    assert (results.receipt, results.unwritten) == (tmp_path / "receipt.json", ())
    assert json.loads((tmp_path / "receipt.json").read_bytes())["run_id"] == "a"


@pytest.mark.parametrize("content", FOREIGN)
def test_a_file_that_is_no_receipt_is_a_mistake_of_usage_for_who_looks_for_rejected_rows(tmp_path, content):
    (tmp_path / "receipt.json").write_bytes(content)
    with pytest.raises(UsageMistake, match=r"receipt\.json is no receipt of a run, or damaged"):
        saved_rejects(tmp_path, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"External_ID__c,Name\n",
        HEADER.encode() + b"a,x,CODE,m,--,many\n",
        HEADER.encode() + b"x,CODE,m,--,1\n",
        HEADER.encode() + b"a,x\n",
    ],
    ids=["empty", "no text", "another header", "no tries", "a cell too few", "no error"],
)
def test_a_damaged_file_of_rejected_rows_is_a_mistake_of_usage(tmp_path, content):
    bucket = bucket_with("a", "0000/1.csv")
    receipt = json.loads(bucket.objects["runs/a/receipt.json"]) | {"target": {"external_id": "External_ID__c"}}
    bucket.objects["runs/a/receipt.json"] = json.dumps(receipt)
    (path,) = save_results(bucket, ended("a"), tmp_path).rejected_files
    assert [file.rows for file in saved_rejects(tmp_path, "a").files] == [[]]

    path.write_bytes(content)
    with pytest.raises(UsageMistake, match=r"0000/1\.csv cannot be read as the rejected rows"):
        list(saved_rejects(tmp_path, "a").files)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": RunStatus.RUNNING, "ended_at": None},
        {"status": RunStatus.FAILED},
        {"ended_at": ENDED_AT + timedelta(milliseconds=1)},
    ],
    ids=["goes on", "another status", "ended later"],
)
def test_a_receipt_of_an_end_that_the_run_was_resumed_from_is_not_copied(tmp_path, changes):
    bucket = bucket_with("a", "0000/000000-0.csv")

    results = save_results(bucket, replace(ended("a"), **changes), tmp_path)

    assert (results.receipt, results.rejected_files) == (None, ())
    assert list(tmp_path.iterdir()) == []


def test_an_end_without_a_receipt_leaves_nothing(tmp_path):
    assert save_results(Bucket({}), ended("a"), tmp_path).receipt is None
    assert list(tmp_path.iterdir()) == []


def test_a_receipt_that_cannot_be_read_is_an_error(tmp_path):
    class Refusing(Bucket):
        def read(self, key: str) -> bytes:
            raise InternalError("AWS refused a call.", code="AccessDenied")

    with pytest.raises(InternalError, match="refused"):
        save_results(Refusing({}), ended("a"), tmp_path)


def test_rejected_rows_are_for_their_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        out = make_private_directory(tmp_path / "new" / "out")
        results = save_results(bucket_with("a", "0000/000000-0.csv"), ended("a"), out)
    finally:
        os.umask(before)
    (path,) = results.rejected_files

    assert [directory.stat().st_mode & 0o777 for directory in (out, out / "rejected", path.parent)] == [0o700] * 3
    assert results.receipt is not None
    assert [file.stat().st_mode & 0o777 for file in (results.receipt, path)] == [0o600] * 2


def test_reasons_are_counted_by_code_and_field(tmp_path):
    bucket = bucket_with("a", "0000/1.csv", "0000/2.csv")
    rows = {
        "1": 'a,"two\nlines",STRING_TOO_LONG,too long,Name,1\nb,x,DUPLICATE_VALUE,twice,--,1\n',
        "2": "c,x,STRING_TOO_LONG,too long,Name,2\n",
    }
    bucket.objects |= {f"runs/a/rejected/0000/{name}.csv": HEADER + text for name, text in rows.items()}

    reasons = save_results(bucket, ended("a"), tmp_path).rejected_by_reason

    assert reasons == {"STRING_TOO_LONG (Name)": 2, "DUPLICATE_VALUE": 1}


def test_a_file_that_cannot_be_written_is_told_and_the_others_are_there(tmp_path):
    (tmp_path / "rejected").mkdir()
    (tmp_path / "rejected/0000").write_text("in the way")
    bucket = bucket_with("a", "0000/1.csv", "0001/1.csv")
    bucket.objects["runs/a/rejected/0000/1.csv"] += "a,x,DUPLICATE_VALUE,twice,--,1\n"

    results = save_results(bucket, ended("a"), tmp_path)

    assert results.receipt == tmp_path / "receipt.json"
    assert results.unwritten == (tmp_path / "rejected/0000/1.csv",)
    assert results.rejected_files == (tmp_path / "rejected/0001/1.csv",)
    assert results.rejected_by_reason == {"DUPLICATE_VALUE": 1}
    with pytest.raises(UsageMistake, match=r"is incomplete: .*rejected/0000/1\.csv"):
        saved_rejects(tmp_path, "a")


def test_a_receipt_that_cannot_be_written_is_told_and_leaves_no_part_of_it(tmp_path):
    (tmp_path / "receipt.json").mkdir()

    results = save_results(bucket_with("a"), ended("a"), tmp_path)

    assert (results.receipt, results.unwritten) == (None, (tmp_path / "receipt.json",))
    assert [path.name for path in tmp_path.iterdir()] == ["receipt.json"]
