"""Every way in which ``massive-upload run`` ends: its exit status, its one line, and what it leaves behind."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from local.aws.state import StateDirectory
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET

pytestmark = pytest.mark.usefixtures("quick_synthesis")

TIME_SCALE = 1000
ROWS = 2_000
LOGIN = {"SALESFORCE_CLIENT_ID": CLIENT_ID, "SALESFORCE_CLIENT_SECRET": CLIENT_SECRET}
REFUSED_JOB = """
- match: {method: POST, path: "jobs/ingest$", nth: 1}
  action: {status: 403, code: API_CURRENTLY_DISABLED, message: API is currently disabled for this user}
"""
FEW_BATCHES = ("partitioning.by=key", "pace.batch_rows=1000", "pace.stagger_seconds=60")


@pytest.fixture(scope="module")
def org() -> Iterator[OrgServer]:
    source = generated_opportunities(ROWS, rejected_share=0.02, null_keys=7)
    with OrgServer(OrgSettings(source=source, time_scale=TIME_SCALE)) as server:
        yield server


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out of a run"


@pytest.fixture
def run(org: OrgServer, out: Path) -> Callable[..., Result]:
    def run(*options: str, sets: tuple[str, ...] = (), url: str = org.url) -> Result:
        arguments = ["run", "opportunity", "--local", "--json", "--org-url", url, "--out", str(out), *options]
        for assignment in (*FEW_BATCHES, *sets):
            arguments += ["--set", assignment]
        return CliRunner().invoke(app, [*arguments, "--time-scale", str(TIME_SCALE)])

    return run


@pytest.fixture
def resume(out: Path, tmp_path: Path) -> Callable[..., Result]:
    def resume(run_id: str, *options: str) -> Result:
        arguments = ["resume", run_id, "--local", "--json", "--state-dir", str(tmp_path / "state"), "--out", str(out)]
        arguments += options
        return CliRunner().invoke(app, arguments)

    return resume


@pytest.fixture
def status(tmp_path: Path) -> Callable[..., Result]:
    def status(*options: str) -> Result:
        return CliRunner().invoke(app, ["status", *options, "--local", "--state-dir", str(tmp_path / "state")])

    return status


def summary_of(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return document


def test_a_run_that_meets_its_criterion_ends_with_0_and_leaves_its_account_and_its_rejected_rows(run, org, out):
    result = run("--set", "partitioning.count=2")

    assert result.exit_code == 0, result.output
    summary = summary_of(result)
    assert summary["status"] == "Completed"
    assert summary["error"] is None
    assert (summary["source_rows"], summary["skipped_null_key"]) == (ROWS + 7, 7)
    assert summary["succeeded"] == org.backend.statistics()["records"]["Opportunity"]
    assert summary["rejected"] == ROWS - summary["succeeded"] > 0
    assert summary["partitions"] == 2
    assert summary["batches"] == 2
    receipt = json.loads((out / "receipt.json").read_text())
    assert receipt["account"] == {name: summary[name] for name in receipt["account"]}
    assert out.stat().st_mode & 0o777 == 0o700
    assert list((out / "logs").glob("*.log"))
    files = [Path(file).read_text(encoding="utf-8") for file in summary["rejected_files"]]
    rejected = [row for content in files for row in csv.DictReader(io.StringIO(content, newline=""))]
    assert len(rejected) == summary["rejected"] == sum(summary["rejected_by_reason"].values())
    in_org = {row["External_ID__c"] for row in org.backend.rows("Opportunity")}
    assert not {row["External_ID__c"] for row in rejected} & in_org

    told = result.output + (out / "receipt.json").read_text() + "".join(p.read_text() for p in (out / "logs").iterdir())
    secret = {CLIENT_ID, CLIENT_SECRET, "Bearer ", "OPP-0", "ACC-0", *(row["Name"] for row in rejected if row["Name"])}
    assert not [content for content in secret if content in told]


def test_too_many_rejected_rows_end_with_1(run):
    result = run(sets=("success_criterion_percent=99.9",))

    assert result.exit_code == 1, result.output
    assert summary_of(result)["error"] == "SuccessRateBelowCriterion"
    assert "the load asks for 99.9 %" in result.stderr


def test_a_source_without_rows_ends_with_0(run):
    result = run(sets=("source.where='1 = 0'",))

    assert result.exit_code == 0, result.output
    assert summary_of(result)["source_rows"] == 0
    assert "nothing to load" in result.stderr.lower()


def test_a_run_keeps_within_its_plan(run):
    """Rows that the target refuses are not sent again; nothing else goes wrong."""
    result = run(sets=FEW_BATCHES)

    summary = summary_of(result)
    estimate = summary["estimate"]
    assert (estimate["rows"], estimate["batches"]) == (ROWS, summary["batches"])
    for figure in ("jobs", "api_requests", "state_transitions"):
        assert estimate[figure]["least"] <= summary[figure] <= estimate[figure]["most"], figure
    assert "plan and outcome" in result.stderr


def test_plan_is_the_same_as_a_run_of_mode_plan(org, out, tmp_path):
    options = ["--local", "--org-url", org.url, "--time-scale", str(TIME_SCALE), "--out", str(out), "--json"]
    state = tmp_path / "state"
    result = CliRunner().invoke(app, ["plan", "opportunity", *options, "--state-dir", str(state)])

    assert result.exit_code == 0, result.output
    summary = summary_of(result)
    assert (summary["mode"], summary["jobs"]) == ("plan", 0)
    with StateDirectory(state) as kept:
        assert list(kept.documents()) == [summary["run_id"]], "it is planned among the runs of that directory"
    assert summary["estimate"]["parents"]["rows"] > 0
    assert summary["estimate"]["bulk_batches_left"] > 0
    assert "lanes of parents (this plan)" in result.stderr


def test_a_plan_counts_and_writes_nothing(run, org):
    jobs_before = org.backend.ingest.states().total()

    result = run("--mode", "plan", sets=("partitioning.count=2", "pace.batch_rows=300"))

    assert result.exit_code == 0, result.output
    summary = summary_of(result)
    assert summary["estimate"]["lanes"] == 2
    assert summary["estimate"]["batches"] == 8  # 1,000 rows of each lane in batches of 300
    assert (summary["jobs"], summary["not_sent"]) == (0, ROWS)
    assert org.backend.ingest.states().total() == jobs_before


@pytest.mark.parametrize(
    ("assignment", "error", "words"),
    [
        ("source.object=Nothing__dlm", "SourceRejected", "Nothing__dlm"),
        pytest.param("source.where='Amount__c >'", "SourceRejected", "filter", marks=pytest.mark.soak),
        pytest.param("fields.Nothing__c=AccountId", "SourceRejected", "columns", marks=pytest.mark.soak),
        pytest.param("fields.Name__c=Nothing__c", "TargetRejected", "Nothing__c", marks=pytest.mark.soak),
        ("fields.Name__c=Id", "TargetRejected", "Opportunity.Id cannot be written"),
    ],
)
def test_a_load_that_does_not_fit_the_org_ends_with_2(run, org, assignment, error, words):
    jobs_before = org.backend.ingest.states().total()

    result = run(sets=(assignment,))

    assert_refused(result, error, words)
    assert org.backend.ingest.states().total() == jobs_before


def test_a_field_that_is_no_external_id_ends_with_2(run):
    result = run(sets=("target.external_id=Name", "fields.ExternalId__c=Name", "fields.Name__c=Description"))

    assert result.exit_code == 2, result.output
    assert "'Description__c' and 'Name__c' both go to 'Description'" in result.stderr

    result = run(
        sets=(
            "target.external_id=Name",
            "fields.ExternalId__c=Name",
            "fields.Name__c=Description",
            "fields.Description__c=External_ID__c",
        )
    )

    assert_refused(result, "TargetRejected", "Opportunity.Name is not an external id")


def test_a_wrong_password_ends_with_2(run, monkeypatch):
    monkeypatch.setenv("SALESFORCE_CLIENT_SECRET", "wrong")

    assert_refused(run(), "CredentialsRejected", "client_secret", "SALESFORCE_CLIENT_SECRET")


def test_an_address_where_there_is_no_org_ends_with_2(run):
    """Such as a site that answers everybody with a page."""
    page = "- {match: {path: /oauth2/token}, action: {status: 403, body: <html>Forbidden</html>}}"
    with OrgServer(OrgSettings(source=generated_opportunities(1), faults=Faults.parse(page))) as site:
        assert_refused(run(url=site.url), "SalesforceUnavailable", "answered with 403", "login_url")


def test_an_org_that_does_not_answer_ends_with_2(run):
    with OrgServer(OrgSettings(source=generated_opportunities(1))) as gone:
        url = gone.url

    assert_refused(run(url=url), "SalesforceUnavailable", "no complete answer from 127.0.0.1")


def test_repeated_keys_end_with_2(run):
    source = generated_opportunities(50, duplicate_keys=3)
    with OrgServer(OrgSettings(source=source, time_scale=TIME_SCALE)) as org:
        assert_refused(run(url=org.url), "DuplicateKeys", "keep_newest")


def test_an_address_that_did_not_answer_is_not_kept_and_latest_is_no_run_that_was_refused(
    run, resume, status, tmp_path
):
    state = ("--state-dir", str(tmp_path / "state"))
    source = generated_opportunities(200, rejected_share=0)
    with OrgServer(OrgSettings(source=source, time_scale=TIME_SCALE, faults=Faults.parse(REFUSED_JOB))) as org:
        run_id = summary_of(run(*state, url=org.url))["run_id"]
        with OrgServer(OrgSettings(source=generated_opportunities(1))) as gone:
            wrong_url = gone.url
        assert_refused(run(*state, url=wrong_url), "SalesforceUnavailable", "no complete answer", "--org-url")
        assert_one_line(status("latest"), "was refused before it began")
        assert "Failed" in status(run_id).stdout
        mistyped = resume(run_id, "--org-url", wrong_url)
        assert (mistyped.exit_code, summary_of(mistyped)["error"]) == (1, "SalesforceUnavailable"), mistyped.output

        finished = resume("latest")
        assert finished.exit_code == 0, finished.output
        assert (summary_of(finished)["run_id"], summary_of(finished)["succeeded"]) == (run_id, 200)

    assert_one_line(resume("latest"), "has no unfinished run")


def test_a_kept_run_that_failed_is_finished_by_resume_and_then_has_nothing_to_go_on_with(run, resume, status, tmp_path):
    source = generated_opportunities(200, rejected_share=0)
    with OrgServer(OrgSettings(source=source, time_scale=TIME_SCALE, faults=Faults.parse(REFUSED_JOB))) as org:
        failed = run("--state-dir", str(tmp_path / "state"), url=org.url)
        assert failed.exit_code == 1, failed.output
        run_id = summary_of(failed)["run_id"]
        command = f"massive-upload resume {run_id} --local --state-dir {tmp_path / 'state'}"
        assert command in failed.stderr
        shown = status("latest")
        assert shown.stdout.splitlines()[-1] == f"Go on with it: {command}"
        assert f"{summary_of(failed)['error']}: " in shown.stdout

        finished = resume(run_id)
        assert finished.exit_code == 0, finished.output
        assert (summary_of(finished)["run_id"], summary_of(finished)["succeeded"]) == (run_id, 200)
        assert org.backend.statistics()["records"]["Opportunity"] == 200
        assert summary_of(failed)["state_transitions"] > 0
        counted = {summary_of(finished)[figure] for figure in ("state_transitions", "max_history_events")}
        assert counted == {None}, "those of one execution are not those of the run"
        assert (summary_of(failed)["was_resumed"], summary_of(finished)["was_resumed"]) == (False, True)

    assert "Go on" not in status("latest").stdout
    (listed,) = json.loads(status("--json").stdout)
    assert (listed["run_id"], listed["status"], listed["succeeded"]) == (run_id, "Completed", 200)
    told = ("succeeded", "source_rows", "unsettled", "time_scale")
    account = {name: summary_of(status(run_id, "--json"))[name] for name in told}
    assert account == {"succeeded": 200, "source_rows": 200, "unsettled": 0, "time_scale": TIME_SCALE}
    assert_one_line(resume(run_id), f"Run {run_id} is Completed and has nothing to go on with")
    assert_one_line(resume("latest"), "has no unfinished run")
    assert_one_line(resume("other"), f"There is no run 'other' in {tmp_path / 'state'}; its newest is {run_id}.")


def test_a_run_whose_files_cannot_be_written_ends_with_5_and_its_account_and_resume_writes_them(
    run, resume, status, out, tmp_path
):
    out.mkdir()
    in_the_way = out / "rejected"
    in_the_way.write_text("")

    result = run("--state-dir", str(tmp_path / "state"))

    assert result.exit_code == 5, result.output
    summary = summary_of(result)
    assert (summary["status"], summary["receipt"]) == ("Completed", str(out / "receipt.json"))
    assert summary["rejected"] == sum(summary["rejected_by_reason"].values()) > 0
    assert summary["rejected_files"] == []
    assert summary["unwritten_files"]
    command = f"massive-upload resume {summary['run_id']} --local --state-dir {tmp_path / 'state'}"
    assert f"{command} --out '{out}'" in result.stderr
    assert "defect" not in result.stderr
    assert status("latest").stdout.splitlines()[-1] == f"Have its files written: {command}"

    in_the_way.unlink()
    written = resume("latest")
    assert written.exit_code == 0, written.output
    assert summary_of(written)["rejected_files"] == summary["unwritten_files"]
    assert not summary_of(written)["was_resumed"], "it had ended, and its time is right"
    assert all(Path(file).is_file() for file in summary["unwritten_files"])
    assert_one_line(resume("latest"), "has no unfinished run")


def test_a_state_directory_in_use_ends_with_2(run, resume, status, tmp_path):
    with StateDirectory(tmp_path / "state"):
        assert_one_line(run("--state-dir", str(tmp_path / "state")), "is in use by process")
        assert_one_line(resume("latest"), "is in use by process")
        assert_one_line(status(), "is in use by process")


def test_a_state_directory_that_cannot_be_written_any_more_ends_with_2(run, resume, tmp_path, monkeypatch):
    with monkeypatch.context() as full_disk:
        full_disk.setattr("local.aws.state._SETTINGS", ("PRAGMA max_page_count = 16",))
        result = run("--state-dir", str(tmp_path / "state"))
    assert result.exit_code == 2, result.output
    assert "cannot be written (database or disk is full)" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output

    finished = resume("latest")
    assert finished.exit_code == 0, finished.output
    assert summary_of(finished)["source_rows"] == ROWS + 7


def test_a_sequence_is_planned_load_by_load(org: OrgServer, out: Path) -> None:
    arguments = ["run", "nightly", "--local", "--mode", "plan", "--json", "--org-url", org.url, "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--time-scale", str(TIME_SCALE)])
    assert result.exit_code == 0, result.output
    summaries = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["load"], each["mode"]) for each in summaries] == [("account", "plan"), ("opportunity", "plan")]
    assert [each["source_rows"] for each in summaries] == [20, ROWS + 7]
    assert sorted(path.name for path in out.iterdir()) == ["account", "opportunity"]


def assert_one_line(result: Result, words: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert words in line


def assert_refused(result: Result, error: str, words: str, hint: str = "") -> None:
    assert result.exit_code == 2, result.output
    assert summary_of(result)["error"] == error
    (line,) = [line for line in result.stderr.splitlines() if line.startswith(f"{error}: ")]
    assert words in line
    assert hint in result.stderr
    assert "Traceback" not in result.output
