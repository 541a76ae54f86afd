"""The state directory: what it keeps, whom it lets in, and what it makes of files that a crash has left."""

import hashlib
import json
import sqlite3
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cli.kept_runs import KeptRun
from local.aws.state import STATE_VERSION, ItemChange, ObjectChange, StateDirectory, StateDirectoryError
from massive_upload.domain.incremental import Watermark
from massive_upload.domain.progress import Batch, Lease, Partition, Run
from massive_upload.domain.quota import OrgQuota
from massive_upload.domain.shown import Shown
from massive_upload.usecases.run_config import RunConfig

DATABASE = "state.sqlite3"
LOG = "state.sqlite3-wal"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


def put(name: str, number: int = 0) -> ItemChange:
    key = {"pk": {"S": name}}
    return ItemChange("Numbers", key, {**key, "n": {"N": str(number)}})


def numbers(state: StateDirectory) -> dict[str, int]:
    return {item["pk"]["S"]: int(item["n"]["N"]) for _, item in state.items()}


def after_a_crash(directory: Path, *changes: Any) -> None:
    """Leaves the directory as a process does that dies without closing it: with a log that is not checkpointed."""
    writing = f"""
import os
from pathlib import Path
from local.aws.state import *
state = StateDirectory(Path({str(directory)!r}))
for change in {list(changes)!r}:
    state.record_items(*change)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", writing], check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr


def test_what_is_written_is_there_when_it_is_opened_again(directory):
    with StateDirectory(directory) as state:
        state.record_items(put("a", 1), put("b", 1))
        state.record_items(put("a", 2), ItemChange("Numbers", {"pk": {"S": "b"}}, None))
        state.record_object(ObjectChange("files", "kept", b"\x00content"))
        state.record_object(ObjectChange("files", "gone", b"content"))
        state.record_object(ObjectChange("files", "gone", None))
        state.keep_document("note", "text")

    with StateDirectory(directory) as state:
        assert list(state.items()) == [("Numbers", {"pk": {"S": "a"}, "n": {"N": "2"}})]
        assert list(state.objects()) == [("files", "kept", b"\x00content")]
        assert (state.object("kept"), state.object("gone"), state.object("never")) == (b"\x00content", None, None)
        assert state.documents() == {"note": "text"}


def test_what_was_acknowledged_outlives_the_process(directory):
    after_a_crash(directory, [put("a", 1)], [put("a", 2), put("b", 3)])

    with StateDirectory(directory) as state:
        assert numbers(state) == {"a": 2, "b": 3}


def test_a_torn_last_record_is_dropped_as_a_whole(directory):
    wide = [put(f"row-{number}" + "x" * 500, number) for number in range(50)]  # several pages of the log
    after_a_crash(directory, [put("a", 1)], wide)
    log = directory / LOG
    whole = log.read_bytes()

    for missing_bytes in (1, 4_096, 4_200, 12_000):
        log.write_bytes(whole[:-missing_bytes])
        with StateDirectory(directory) as state:
            assert numbers(state) == {"a": 1}
        after_a_crash(directory, wide)
        whole = log.read_bytes()


def test_a_record_whose_bytes_have_changed_is_dropped(directory):
    after_a_crash(directory, [put("a", 1)], [put("a", 2)])
    log = directory / LOG
    content = bytearray(log.read_bytes())
    content[-10] ^= 0xFF
    log.write_bytes(content)

    with StateDirectory(directory) as state:
        assert numbers(state) == {"a": 1}


def test_only_its_owner_can_read_it(directory):
    directory.mkdir(mode=0o755)
    with StateDirectory(directory) as state:
        state.record_items(put("a"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}

    assert directory.stat().st_mode & 0o777 == 0o700
    assert modes == {DATABASE: 0o600, LOG: 0o600, "lock": 0o600}


def test_a_second_process_is_refused_and_told_who_holds_it(directory):
    opening = f"from pathlib import Path; from local.aws.state import *; StateDirectory(Path({str(directory)!r}))"
    with StateDirectory(directory):
        done = subprocess.run([sys.executable, "-c", opening], check=False, capture_output=True, text=True)
        lines = done.stderr.strip().splitlines()
        assert "is in use by process" in lines[-1]
        holder = (directory / "lock").read_text().strip()
        assert f"process {holder};" in lines[-1]

    assert subprocess.run([sys.executable, "-c", opening], check=False).returncode == 0


def test_another_version_is_refused_and_left_as_it_is(directory):
    with StateDirectory(directory) as state:
        state.record_items(put("a", 1))
    with sqlite3.connect(directory / DATABASE) as database:
        database.execute("PRAGMA user_version = 7")
    database.close()
    before = (directory / DATABASE).read_bytes()

    with pytest.raises(StateDirectoryError, match=f"has version 7, and this program reads version {STATE_VERSION}"):
        StateDirectory(directory)
    assert (directory / DATABASE).read_bytes() == before


def test_a_directory_with_other_things_is_refused_and_left_as_it_is(directory):
    directory.mkdir(mode=0o755)
    (directory / "thesis.txt").write_text("mine")

    with pytest.raises(StateDirectoryError, match=r"thesis\.txt"):
        StateDirectory(directory)
    assert [path.name for path in directory.iterdir()] == ["thesis.txt"]
    assert directory.stat().st_mode & 0o777 == 0o755


def test_what_others_leave_in_a_state_directory_is_let_be(directory):
    with StateDirectory(directory) as state:
        state.keep_document("night", "kept")
    (directory / ".DS_Store").write_text("theirs")

    with StateDirectory(directory) as state:
        assert state.documents() == {"night": "kept"}
    assert (directory / ".DS_Store").read_text() == "theirs"


def test_a_file_that_is_no_state_is_refused(directory):
    directory.mkdir()
    (directory / DATABASE).write_text("no database" * 100)

    with pytest.raises(StateDirectoryError, match="damaged or no state at all"):
        StateDirectory(directory)


@pytest.mark.parametrize(
    "read",
    [
        lambda state: list(state.items()),
        lambda state: list(state.objects()),
        lambda state: state.object("k500"),
        lambda state: state.documents(),
    ],
)
def test_a_page_that_is_damaged_further_on_is_told_when_it_is_read(directory, read):
    with StateDirectory(directory) as state:
        for number in range(600):
            state.record_items(put(f"k{number}", number))
            state.record_object(ObjectChange("files", f"k{number}", bytes(100)))
            state.keep_document(f"k{number}", "x" * 100)
        read(state)
    database = directory / DATABASE
    content = database.read_bytes()
    database.write_bytes(content[:16384] + bytes(reversed(content[16384:])))
    with StateDirectory(directory) as state, pytest.raises(StateDirectoryError, match="damaged or no state at all"):
        read(state)


def test_the_version_is_that_of_what_a_state_holds():
    """Where this fails: raise STATE_VERSION, unless what the version before has written can still be read."""
    entities = (Run, Partition, Batch, Lease, OrgQuota, Watermark, Shown)
    held = [
        [[each.__name__, [f"{field.name}: {field.type}" for field in fields(each)]] for each in entities],
        [_without_words(model.model_json_schema()) for model in (RunConfig, KeptRun)],
    ]
    digest = hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()
    assert (STATE_VERSION, digest[:12]) == (3, "f841739d7936")


def _without_words(schema: Any) -> Any:
    """A schema without what it says for people."""
    if isinstance(schema, dict):
        return {key: _without_words(value) for key, value in schema.items() if key not in ("description", "title")}
    return [_without_words(value) for value in schema] if isinstance(schema, list) else schema


def test_a_full_disk_is_not_taken_for_a_damaged_file(directory, monkeypatch):
    monkeypatch.setattr("local.aws.state._SETTINGS", ("PRAGMA max_page_count = 1",))

    with pytest.raises(StateDirectoryError, match=r"is full\): make room"):
        StateDirectory(directory)


def test_a_file_in_the_place_of_the_directory_is_refused(directory):
    directory.write_text("")

    with pytest.raises(StateDirectoryError, match="give another one"):
        StateDirectory(directory)


def test_after_a_write_that_failed_no_other_is_acknowledged(directory):
    with StateDirectory(directory) as state:
        state.record_items(put("a", 1))
        state._connection.execute("PRAGMA max_page_count = 10")  # a full disk, as SQLite sees it
        with pytest.raises(StateDirectoryError, match="is full"):
            state.record_object(ObjectChange("files", "large", bytes(100_000)))
        with pytest.raises(StateDirectoryError, match="is full"):
            state.record_items(put("a", 2))
        assert isinstance(state.failure, StateDirectoryError)

    with StateDirectory(directory) as state:
        assert numbers(state) == {"a": 1}
        assert list(state.objects()) == []
