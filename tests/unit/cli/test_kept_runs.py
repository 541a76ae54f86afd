import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.errors import UsageMistake
from cli.kept_runs import Course, KeptRun, KeptRuns, course_of, keep_runs
from local.aws.state import ItemChange, ObjectChange, StateDirectory
from massive_upload.adapters import dynamodb_items
from massive_upload.domain.load import Load
from massive_upload.domain.progress import Run, RunStatus
from massive_upload.errors import InternalError

NIGHT = datetime(2026, 1, 31, 22, tzinfo=UTC)
LOAD = Load.model_validate(
    {
        "name": "opportunity",
        "source": {"object": "Opportunity__dlm", "key": "Key__c"},
        "target": {"object": "Opportunity", "external_id": "External_ID__c"},
        "fields": {"Key__c": {"to": "External_ID__c"}},
    }
)
RUN = Run(
    run_id="night",
    load="opportunity",
    mode="full",
    status=RunStatus.RUNNING,
    execution_arn="arn:night",
    started_at=NIGHT,
    plan_name="plan",
)


@pytest.fixture
def kept(tmp_path: Path):
    with StateDirectory(tmp_path / "state") as state:
        yield KeptRuns(state)


def asked(run_id: str, *, hours: int = 0) -> KeptRun:
    return KeptRun(
        run_id=run_id,
        load=LOAD,
        mode="full",
        org_url="http://127.0.0.1:1",
        time_scale=10.0,
        begun_at=NIGHT + timedelta(hours=hours),
    )


def record(kept: KeptRuns, run: Run) -> None:
    key = dynamodb_items.run_key(run.run_id)
    kept.state.record_items(ItemChange("table", key, key | dynamodb_items.to_item(dynamodb_items.fields_of(run))))


def note_writer(kept: KeptRuns, target: str, run_id: str) -> None:
    key = dynamodb_items.writer_key(target)
    kept.state.record_items(ItemChange("table", key, key | dynamodb_items.to_item({"run_id": run_id})))


@pytest.mark.parametrize("status", RunStatus)
def test_a_run_with_lanes_is_resumed_until_it_is_complete(status):
    expected = Course.REPORT if status is RunStatus.COMPLETED else Course.RESUME
    assert course_of(replace(RUN, status=status)) is expected


@pytest.mark.parametrize("changes", [{"plan_name": None}, {"mode": "plan"}])
@pytest.mark.parametrize("status", RunStatus)
def test_a_run_without_lanes_begins_again_until_it_has_ended(status, changes):
    expected = Course.BEGIN if status in (RunStatus.PLANNING, RunStatus.RUNNING) else Course.REPORT
    assert course_of(replace(RUN, status=status, **changes)) is expected


def test_a_run_that_was_never_recorded_begins():
    assert course_of(None) is Course.BEGIN


def test_the_latest_is_the_newest_that_is_unfinished(kept):
    for hour, run_id in enumerate(("first", "second", "third")):
        kept.take_up(asked(run_id, hours=hour))
        record(kept, replace(RUN, run_id=run_id))
    assert kept.unfinished("latest").run_id == "third"

    record(kept, replace(RUN, run_id="third", status=RunStatus.COMPLETED))
    assert kept.unfinished("latest").run_id == "third"  # nobody has been shown its account
    kept.mark_reported("third")
    assert kept.unfinished("latest").run_id == "second"
    assert kept.unfinished("first") == asked("first")


def test_a_run_that_is_taken_up_again_keeps_the_time_when_it_began(kept):
    kept.take_up(asked("night"))
    kept.mark_reported("night")
    kept.take_up(asked("night", hours=5))

    assert kept.unfinished("latest") == asked("night")


def test_another_org_is_kept_once_it_has_let_the_run_in(kept):
    kept.take_up(asked("night"))
    mistyped = asked("night").model_copy(update={"org_url": "http://127.0.0.1:2", "time_scale": 20.0})

    kept.take_up(mistyped)
    assert kept.unfinished("night") == asked("night")

    kept.note_let_in(mistyped)
    assert kept.unfinished("night") == mistyped


@pytest.mark.parametrize("run", [None, replace(RUN, run_id="refused", status=RunStatus.PLANNING, plan_name=None)])
def test_the_latest_is_not_a_run_that_was_refused_before_it_was_planned(kept, run):
    kept.take_up(asked("night"))
    kept.take_up(asked("refused", hours=1))
    record(kept, RUN)
    if run is not None:
        record(kept, run)
    assert kept.unfinished("latest").run_id == "refused"  # its process was killed

    kept.mark_reported("refused")
    assert kept.unfinished("latest").run_id == "night"
    assert kept.unfinished("refused").run_id == "refused"


def test_the_latest_is_not_a_run_that_was_given_up_before_it_was_planned_for_another_one(kept):
    kept.take_up(asked("mistaken"))
    assert kept.unfinished("latest").run_id == "mistaken"

    kept.take_up(asked("right", hours=1))
    record(kept, replace(RUN, run_id="right", status=RunStatus.COMPLETED))
    kept.mark_reported("right")
    with pytest.raises(UsageMistake, match="has no unfinished run"):
        kept.unfinished("latest")
    assert kept.unfinished("mistaken").run_id == "mistaken"


def test_the_latest_is_not_a_run_whose_target_a_later_one_has_written_to(kept):
    for hour, run_id in enumerate(("overtaken", "elsewhere", "later")):
        kept.take_up(asked(run_id, hours=hour))
    target, other = "org#Opportunity", "org#Account"
    record(kept, replace(RUN, run_id="overtaken", status=RunStatus.FAILED, lease_key=target))
    record(kept, replace(RUN, run_id="elsewhere", status=RunStatus.FAILED, lease_key=other))
    record(kept, replace(RUN, run_id="later", status=RunStatus.COMPLETED, lease_key=target))
    kept.mark_reported("later")
    note_writer(kept, target, "later")
    note_writer(kept, other, "elsewhere")
    assert kept.unfinished("latest").run_id == "elsewhere"

    record(kept, replace(RUN, run_id="elsewhere", status=RunStatus.COMPLETED, lease_key=other))
    kept.mark_reported("elsewhere")
    with pytest.raises(UsageMistake, match="has no unfinished run"):
        kept.unfinished("latest")


def test_a_retry_is_a_run_of_its_own_of_the_first_run_of_its_family():
    first = asked("night")
    retry = first.as_retry("INVALID_FIELD")
    again = retry.as_retry(None)

    assert len({first.run_id, retry.run_id, again.run_id}) == 3
    assert (retry.mode, retry.retry_of, retry.retry_only) == ("retry_failed", "night", "INVALID_FIELD")
    assert (again.mode, again.retry_of, again.retry_only) == ("retry_failed", "night", None)
    assert (again.load, again.org_url, again.time_scale) == (first.load, first.org_url, first.time_scale)


def test_a_run_that_was_kept_before_there_were_retries_is_read(kept):
    kept.state.keep_document("night", asked("night").model_dump_json(exclude={"retry_of", "retry_only"}))

    assert kept.unfinished("latest") == asked("night")


def test_what_is_recorded_is_read_and_never_written(kept):
    record(kept, RUN)
    kept.state.record_object(ObjectChange("bucket", "runs/night/receipt.json", b"{}"))
    store = kept.recorded()

    assert store.run("night") == RUN
    assert store.run("day") is None
    assert store.partitions("night") == []
    assert kept.files.read("runs/night/receipt.json") == b"{}"
    with pytest.raises(InternalError, match="has no object runs/day"):
        kept.files.read("runs/day/receipt.json")
    with pytest.raises(InternalError, match="nothing can be written"):
        store.begin_run(replace(RUN, run_id="day"))
    with pytest.raises(InternalError, match="nothing can be written"):
        kept.files.write("runs/night/receipt.json", b"")
    assert list(kept.state.objects()) == [("bucket", "runs/night/receipt.json", b"{}")]


def test_a_command_is_written_as_a_shell_reads_it(tmp_path):
    directory = tmp_path / "state; of $HOME"
    with StateDirectory(directory) as state:
        command = KeptRuns(state).command("resume", "night")
    assert shlex.split(command, comments=True) == [
        *("massive-upload", "resume", "night", "--local"),
        *("--state-dir", str(directory)),
    ]
    assert command.endswith(f" --state-dir '{directory}'")


def test_nothing_unfinished_is_told(kept):
    with pytest.raises(UsageMistake, match="has no unfinished run"):
        kept.unfinished("latest")


def test_what_is_left_of_a_sequence_that_was_killed_between_two_loads_is_told(kept):
    record(kept, replace(RUN, run_id="first", status=RunStatus.COMPLETED))
    kept.take_up(asked("first").model_copy(update={"followed_by": ("second", "third")}))
    kept.mark_reported("first")
    with pytest.raises(UsageMistake, match=r"no unfinished run; first is over, .* goes on with second, third\."):
        kept.unfinished("latest")


def test_an_unknown_run_is_told(kept):
    with pytest.raises(UsageMistake, match=r"There is no run 'night' in .*it has none"):
        kept.unfinished("night")
    kept.take_up(asked("day"))
    with pytest.raises(UsageMistake, match="its newest is day"):
        kept.unfinished("night")


def test_a_completed_run_is_told(kept):
    kept.take_up(asked("night"))
    kept.mark_reported("night")
    record(kept, replace(RUN, status=RunStatus.COMPLETED))

    with pytest.raises(UsageMistake, match="Run night is Completed"):
        kept.unfinished("night")


def test_files_of_a_killed_process_are_removed(kept):
    kept.state.work_dir.mkdir()
    (kept.state.work_dir / "old").write_text("")

    with kept.work_dir() as path:
        assert list(path.iterdir()) == []
    assert not path.exists()


def test_without_a_directory_nothing_is_kept():
    with keep_runs(None) as kept:
        assert kept is None
