"""Runs one after the other, each carried out by a stand-in."""

import errno
import os
import shutil
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli import run as runs
from cli.errors import ExitCode
from cli.interrupts import Interrupts
from cli.local_run import RunRequest
from cli.request import local_requests

LOAD = """
source: {object: Thing__dlm, key: Key__c}
target: {object: %s, external_id: External_ID__c}
fields: {Key__c: External_ID__c}
"""


@pytest.fixture
def requests(tmp_path: Path) -> list[RunRequest]:
    for name in ("first", "second", "third", "fourth"):
        (tmp_path / f"{name}.yaml").write_text(LOAD % name.title())
    (tmp_path / "all.yaml").write_text("sequence: [second, first, third, fourth]")
    return local_requests(
        "all",
        org_url="http://127.0.0.1:8080",
        environment={"SALESFORCE_CLIENT_ID": "id", "SALESFORCE_CLIENT_SECRET": "s"},
        loads_dir=tmp_path,
        mode="plan",
        sets=[],
        time_scale=1000,
    )


@pytest.fixture
def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Path]]:
    """Load, mode and directory of each run; that of `first` misses its criterion, that of `third` is interrupted."""
    found: list[tuple[str, str, Path]] = []

    def carry_out(request: RunRequest, *, out: Path, interrupts: Interrupts, **_: Any) -> ExitCode:
        found.append((request.load.name, request.mode, out))
        interrupts.count += request.load.name == "third"
        return ExitCode.CRITERION_NOT_MET if request.load.name == "first" else ExitCode.OK

    monkeypatch.setattr(runs, "_carry_out", carry_out)
    return found


def test_the_loads_of_a_sequence_are_runs_in_its_order_until_one_does_not_end_well(requests, carried_out, capsys):
    code = runs.carry_out_in_order(requests, out=Path("kept"), as_json=False)
    assert code is ExitCode.CRITERION_NOT_MET
    assert carried_out == [("second", "plan", Path("kept/second")), ("first", "plan", Path("kept/first"))]
    assert capsys.readouterr().err == (
        "Not begun: third, fourth. Run them in this order, once the load before has completed.\n"
    )


def test_ctrl_c_that_comes_too_late_for_a_run_ends_the_sequence_all_the_same(requests, carried_out, capsys):
    code = runs.carry_out_in_order([requests[2], requests[3]], out=Path("kept"), as_json=False)
    assert code is ExitCode.STOPPED
    assert [name for name, _, _ in carried_out] == ["third"]
    assert "Not begun: fourth." in capsys.readouterr().err


def test_what_follows_a_run_of_a_sequence_that_is_gone_on_with_is_named(requests, carried_out, capsys):
    assert requests[0].followed_by == ("first", "third", "fourth")
    assert runs.carry_out_in_order(requests[:1], out=None, as_json=False) is ExitCode.OK
    assert "Its sequence goes on with first, third, fourth: run" in capsys.readouterr().err
    runs.carry_out_in_order(requests[3:], out=None, as_json=False)
    assert capsys.readouterr().err == ""


def test_ctrl_c_as_a_run_is_being_left_does_not_undo_what_it_came_to(requests, monkeypatch):
    def carry_out(*_: object, **__: object) -> ExitCode:
        os.kill(os.getpid(), signal.SIGINT)
        return ExitCode.OK

    monkeypatch.setattr(runs, "_carry_out", carry_out)
    assert runs.carry_out_in_order(requests[:1], out=None, as_json=False) is ExitCode.OK


def test_what_is_not_begun_is_named_where_a_run_cannot_begin(requests, monkeypatch, capsys):
    def carry_out(*_: object, **__: object) -> ExitCode:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_carry_out", carry_out)
    with pytest.raises(KeyboardInterrupt):
        runs.carry_out_in_order(requests, out=None, as_json=False)
    assert "Not begun: second, first, third, fourth." in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        runs.carry_out_in_order(requests[3:], out=None, as_json=False)
    assert capsys.readouterr().err == ""


def test_each_run_has_a_directory_of_its_own_by_default(requests, carried_out):
    assert runs.carry_out_in_order([requests[0], requests[3]], out=None, as_json=False) is ExitCode.OK
    assert [out for _, _, out in carried_out] == [Path("out") / requests[place].run_id for place in (0, 3)]


def test_a_single_run_has_the_directory_that_is_given(requests, carried_out):
    runs.carry_out_in_order(requests[:1], out=Path("kept"), as_json=False)
    assert carried_out == [("second", "plan", Path("kept"))]


class Usage(NamedTuple):
    free: int


def test_a_run_begins_nothing_where_its_files_of_the_moment_have_no_room(requests, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(free=1_000_000))
    monkeypatch.setattr(runs, "start_local_run", lambda *_, **__: pytest.fail("It began."))

    with pytest.raises(OSError, match="No space left on device") as refused:
        runs.carry_out_in_order(requests[:1], out=tmp_path / "out", as_json=False)
    assert refused.value.errno == errno.ENOSPC
