"""What is told of the runs of a state directory of which no process is at work any more."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.errors import UsageMistake
from cli.kept_runs import KeptRuns, open_runs
from cli.kept_status import show_kept
from local.aws.state import ObjectChange, StateDirectory
from massive_upload.constants import RESUMABLE_DAYS
from massive_upload.domain.file_keys import plan_key
from massive_upload.domain.progress import Run
from tests.unit.cli.test_kept_runs import RUN, asked, record
from tests.unit.cli.test_stack_facts import ESTIMATE

RESUME = "massive-upload resume night --local --state-dir"


def shown(directory: Path, capsys: pytest.CaptureFixture[str], run_id: str | None = "latest") -> str:
    show_kept(directory, run_id, as_json=False)
    return capsys.readouterr().out


def keep(directory: Path, run: Run | None) -> None:
    with StateDirectory(directory) as state:
        kept = KeptRuns(state)
        kept.take_up(asked("night"))
        if run is not None:
            record(kept, run)
            plan = json.dumps({"estimate": ESTIMATE}).encode()
            state.record_object(ObjectChange("bucket", plan_key("night", "plan"), plan))


def test_a_directory_without_runs_says_how_to_begin_one(tmp_path, capsys):
    StateDirectory(tmp_path).close()
    assert "begin one: massive-upload run" in shown(tmp_path, capsys, None)
    with pytest.raises(UsageMistake, match="has no run; start one"):
        show_kept(tmp_path, "latest", as_json=False)


def test_a_run_that_was_interrupted_before_it_was_recorded_can_be_gone_on_with(tmp_path, capsys):
    keep(tmp_path, None)
    assert f"was interrupted before it began. Go on with it: {RESUME}" in shown(tmp_path, capsys, None)
    with pytest.raises(UsageMistake, match=f"Go on with it: {RESUME}"):
        show_kept(tmp_path, "latest", as_json=False)


def test_a_run_that_was_refused_is_told_as_such(tmp_path, capsys):
    keep(tmp_path, None)
    with open_runs(tmp_path) as kept:
        kept.mark_reported("night")
    with pytest.raises(UsageMistake, match="Run night was refused before it began; nothing of it was sent"):
        show_kept(tmp_path, "night", as_json=False)


def test_a_run_whose_process_died_is_told_without_a_time_and_with_the_way_to_go_on(tmp_path, capsys):
    keep(tmp_path, replace(RUN, started_at=datetime.now(UTC) - timedelta(days=2), pause_requested=True))
    told = shown(tmp_path, capsys)
    assert "Run night: Running\n" in told
    assert "ask" not in told
    assert told.splitlines()[-1].startswith(f"No process is at work on it. Go on with it: {RESUME}")


def test_a_run_that_is_too_old_is_not_gone_on_with(tmp_path, capsys):
    begun_at = datetime.now(UTC) - timedelta(days=RESUMABLE_DAYS, seconds=1)
    keep(tmp_path, replace(RUN, started_at=begun_at))
    told = shown(tmp_path, capsys)
    assert "Start the load anew" in told
    assert RESUME not in told
