import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cli.errors import UsageMistake
from cli.failures import CodeFailures, Rejects, csv_file, failures_json, failures_view, gather_failures
from cli.results import saved_rejects
from massive_upload.domain.kept_file import KeptFile, KeptRow, parse_kept_file
from massive_upload.domain.staged_file import RowError

FIRST = """Name,External_ID__c,error_code,error_message,error_fields,tries
"two
lines",a,TOO_LONG,"text, quoted",Name Note__c,1
one,b,NO_PARENT,not found,AccountId,4
"""
SECOND = """Name,External_ID__c,error_code,error_message,error_fields,tries
=1+1,c,TOO_LONG,other,Name,1
"""


def rejects() -> Rejects:
    return Rejects("run", "external_id__C", [parse_kept_file(text.encode()) for text in (FIRST, SECOND)])


def test_rows_are_counted_by_code_with_their_fields_their_first_keys_and_a_text():
    too_long, no_parent = gather_failures(rejects(), code=None, sample=1)
    assert (too_long.code, too_long.rows, too_long.fields, too_long.keys, too_long.message) == (
        "TOO_LONG",
        2,
        {"Name": 2, "Note__c": 1},
        ["a"],
        "text, quoted",
    )
    assert (no_parent.rows, no_parent.keys) == (1, ["b"])


def test_the_csv_holds_the_rows_of_a_code_as_they_were_and_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("of an earlier command")
    path.chmod(0o644)
    with csv_file(path) as writer:
        gather_failures(rejects(), code="TOO_LONG", sample=0, writer=writer)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == next(csv.reader(io.StringIO(FIRST)))
    assert rows == [
        ["two\nlines", "a", "TOO_LONG", "text, quoted", "Name Note__c", "1"],
        ["=1+1", "c", "TOO_LONG", "other", "Name", "1"],
    ]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cell", ["one\rtwo", 'one "two"', "one, two", "one\r\ntwo"])
def test_a_cell_of_the_csv_is_one_cell_for_whoever_reads_it(tmp_path, cell):
    path = tmp_path / "rows.csv"
    file = KeptFile(["Name"], [KeptRow([cell], RowError("CODE", "a message", "Name"), 1)])
    with csv_file(path) as writer:
        gather_failures(Rejects("run", "Name", [file]), code=None, sample=0, writer=writer)
    with path.open(newline="", encoding="utf-8") as lines:
        _header, row = csv.reader(lines)
    assert row == [cell, "CODE", "a message", "Name", "1"]


def test_a_csv_takes_the_place_of_an_earlier_one_once_it_is_whole(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("of an earlier command")

    def files() -> Iterator[KeptFile]:
        yield parse_kept_file(FIRST.encode())
        assert path.read_text() == "of an earlier command"
        raise UsageMistake("The second file is damaged.")

    with pytest.raises(UsageMistake, match="is damaged"), csv_file(path) as writer:
        gather_failures(Rejects("run", "External_ID__c", files()), code=None, sample=0, writer=writer)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("rows.csv", "of an earlier command")]


@pytest.mark.parametrize("kind", ["symlink", "symlink to nothing", "FIFO", "directory", "."])
def test_a_csv_never_takes_the_place_of_what_is_no_regular_file(tmp_path, kind):
    path, target = (Path() if kind == "." else tmp_path / "rows.csv"), tmp_path / "target"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind.startswith("symlink"):
        path.symlink_to(target)
        if kind == "symlink":
            target.write_text("somebody's")
    mode = path.lstat().st_mode
    with pytest.raises(UsageMistake, match="no regular file; give another --csv"), csv_file(path):
        pass
    assert path.lstat().st_mode == mode
    assert not target.exists() or target.read_text() == "somebody's"


def test_a_csv_that_cannot_be_written_is_a_mistake_of_usage(tmp_path):
    with pytest.raises(UsageMistake, match="give another --csv"), csv_file(tmp_path / "nowhere" / "rows.csv"):
        pass


def test_the_table_and_the_json_tell_the_same():
    found = gather_failures(rejects(), code=None, sample=3)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(failures_view("run", found))
    text = console.export_text()
    assert all(word in text for word in ("TOO_LONG", "NO_PARENT", "Name, Note__c", "text, quoted", "not found"))
    document = json.loads(failures_json("run", found))
    assert (document["run_id"], document["rejected"]) == ("run", 3)
    assert [(each["code"], each["rows"], each["keys"]) for each in document["codes"]] == [
        ("TOO_LONG", 2, ["a", "c"]),
        ("NO_PARENT", 1, ["b"]),
    ]


def test_a_code_is_not_cut_where_the_terminal_is_narrow():
    code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    text = "bad value for restricted picklist field: Prospect"
    found = CodeFailures(code, rows=12_345_678, fields={"StageName": 1}, keys=["OPP-0000001"], message=text)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(failures_view("run", [found]))
    cells = [line.split("│") for line in console.export_text().splitlines() if line.startswith("│")]
    assert "".join(cell[1].strip() for cell in cells).startswith(code)
    assert "12,345,678" in cells[0][2]


def test_control_sequences_of_records_are_spelt_and_never_reach_the_terminal():
    text = 'K,error_code,error_message,error_fields,tries\nk\x1b[2J,C\x1b[1m,"one\ntwo \x1b]0;t\x07",F\x9b31m,1\n'
    found = gather_failures(Rejects("run", "K", [parse_kept_file(text.encode())]), code=None, sample=1)
    written = io.StringIO()
    Console(width=200, file=written).print(failures_view("run", found))
    shown = written.getvalue()
    assert all(character.isprintable() for line in shown.split("\n") for character in line)
    for spelt in (r"k\x1b[2J", r"C\x1b[1m", r"two \x1b]0;t\x07", r"F\x9b31m", "one "):
        assert spelt in shown


def test_a_run_without_rejected_rows_says_so():
    found = gather_failures(Rejects("run", "", []), code=None, sample=3)
    assert str(failures_view("run", found)) == "Run run has no rejected rows."
    assert str(failures_view("run", found, code="C")) == "Run run has no rejected rows with the code C."


def test_the_results_of_a_local_run_are_read_from_its_directory(tmp_path):
    key = "runs/run/rejected/0000/000000-0.csv"
    receipt = {"run_id": "run", "rejected_files": [key], "target": {"external_id": "External_ID__c"}}
    (tmp_path / "receipt.json").write_text(json.dumps(receipt))
    kept = tmp_path / "rejected" / "0000" / "000000-0.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text(FIRST)
    found = gather_failures(saved_rejects(tmp_path, "run"), code=None, sample=3)
    assert {each.code: each.keys for each in found} == {"TOO_LONG": ["a"], "NO_PARENT": ["b"]}
    with pytest.raises(UsageMistake, match="holds run run, not other"):
        saved_rejects(tmp_path, "other")
    with pytest.raises(UsageMistake, match=r"holds no receipt\.json"):
        saved_rejects(tmp_path / "elsewhere", None)
