import os
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli import main
from cli.main import app
from local.org import OrgSettings
from massive_upload.constants import RESUMABLE_DAYS

COMMANDS = ("demo", "run", "org", "start", "status", "watch", "stop", "pause", "resume", "failures", "retry-failed")


def invoke(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_every_command_has_help_with_an_example(command):
    result = invoke(*command, "--help")

    assert result.exit_code == 0
    assert "massive-upload" in result.stdout


def test_pause_says_for_how_long_a_run_can_be_resumed():
    assert f"within {RESUMABLE_DAYS} days" in " ".join(invoke("pause", "--help").stdout.split())


def test_the_version_is_that_of_the_installed_package():
    result = invoke("--version")

    assert result.exit_code == 0
    assert result.stdout.startswith("massive-upload 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "opportunity"), "massive-upload start opportunity"),
        (("run", "opportunity", "--local"), "--org-url is missing"),
        (
            ("run", "opportunity", "--local", "--org-url", "http://127.0.0.1:1", "--mode", "incremental"),
            "--state-dir is missing",
        ),
        (("run", "--local"), "Missing argument"),
        (("start",), "Missing argument"),
        (("start", "opportunity", "--mode", "resume"), "--mode"),
        (("stop",), "Missing argument"),
        (("resume", "latest", "--partition", "-1"), "--partition"),
        (("run", "opportunity", "--local", "--mode", "half"), "--mode"),
        (("run", "opportunity", "--local", "--time-scale", "0"), "--time-scale"),
        *(
            ((command, "--time-scale", scale, *others), "Invalid value for '--time-scale'")
            for scale in ("inf", "1e300")
            for command, *others in (
                *(("demo", "--lanes", "0"), ("run", "opportunity"), ("plan", "opportunity"), ("org",)),
                *(("resume", "latest"), ("retry-failed", "latest")),
            )
        ),
        (("run", "nothing", "--local", "--org-url", "http://127.0.0.1:1"), "There is no load 'nothing'"),
        (("resume", "latest", "--state-dir", "state"), "add --local"),
        (("resume", "latest", "--local", "--state-dir", "state", "--partition", "7"), "--partition is for a deployed"),
        (("resume", "latest", "--local", "--state-dir", "state", "--watch"), "--watch is for a deployed stack"),
        (("resume", "latest", "--org-url", "http://127.0.0.1:1"), "--org-url is for runs of this machine: add --local"),
        (("resume", "latest", "--loads-dir", "loads"), "--loads-dir is for runs of this machine: add --local"),
        (("plan", "opportunity", "--org-url", "http://127.0.0.1:1"), "--org-url is for runs of this machine"),
        (("plan", "opportunity", "--out", "out"), "--out is for runs of this machine: add --local"),
        (("plan", "opportunity", "--state-dir", "state"), "--state-dir is for runs of this machine: add --local"),
        (("plan", "opportunity", "--local", "--stack", "MassiveUpload"), "--stack is for a deployed stack"),
        (("plan", "opportunity", "--local", "--profile", "night"), "--profile is for a deployed stack"),
        (("retry-failed", "latest", "--time-scale", "3"), "--time-scale is for runs of this machine: add --local"),
        (("retry-failed", "latest", "--out", "out"), "--out is for runs of this machine: add --local"),
        (("retry-failed", "x", "--local", "--state-dir", "state", "--watch"), "--watch is for a deployed stack"),
        (("failures", "--out", "out", "--region", "eu-west-1"), "--region is for a deployed stack"),
        (("failures", "--local", "--state-dir", "state", "--profile", "x"), "--profile is for a deployed stack"),
        (("resume", "latest", "--local"), "--state-dir is missing"),
        (("resume", "--local", "--state-dir", "state"), "Missing argument"),
        (("retry-failed", "latest", "--state-dir", "state"), "add --local"),
        (("retry-failed", "latest", "--local"), "--state-dir is missing"),
        (("retry-failed", "--local", "--state-dir", "state"), "Missing argument"),
        (("failures", "--state-dir", "state"), "add --local"),
        (("failures", "--local"), "--state-dir is missing"),
        (("failures", "--local", "--out", "nowhere"), "nowhere holds no receipt.json"),
        (("failures", "--local", "--state-dir", "state", "--out", "out"), "give one of them"),
        (("resume", "latest", "--local", "--state-dir", "nowhere"), "--state-dir nowhere: there is no such directory"),
        (("org", "--port", "0", "--source", "nothing.csv"), "there is no such file"),
        (("org", "--port", "0", "--faults", "nothing.yaml"), "nothing.yaml"),
        (("org", "--port", "0", "--load", "opportunity=nothing.csv"), "nothing.csv: there is no such file"),
        (("org", "--port", "0", "--load", "nothing=README.md"), "There is no load 'nothing'"),
        (("org", "--port", "0", "--load", "nightly=README.md"), "nightly"),
        (("org", "--port", "0", "--load", "opportunity"), "--load opportunity names no load and file"),
        (("org", "--port", "0", "--load", "account=a.csv", "--load", "account=b.csv"), "gives account a second file"),
        (("org", "--port", "0", "--load", "account=a.csv", "--key", "no"), "--key is for an org that serves one file"),
        (("org",), "--port"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_wrong(arguments, words):
    result = invoke(*arguments)

    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_the_simulated_org_is_as_slow_and_as_short_of_allowances_as_the_options_say(monkeypatch):
    served: list[OrgSettings] = []
    monkeypatch.setattr("cli.org.serve_org", lambda settings, *_: served.append(settings))

    limits = ("--daily-api-requests", "500", "--daily-bulk-batches", "30", "--workers", "8", "--row-ms", "1.5")
    result = invoke("org", "--port", "0", "--rows", "10", *limits)

    assert result.exit_code == 0, result.output
    (settings,) = served
    assert (settings.daily_api_requests, settings.daily_bulk_batches) == (500, 30)
    assert (settings.workers, settings.row_ms) == (8, 1.5)
    assert settings.lock_wait_seconds == OrgSettings(source=settings.source).lock_wait_seconds


@pytest.mark.parametrize("command", [("status",), ("failures",), ("resume", "latest"), ("retry-failed", "latest")])
def test_a_directory_that_is_only_looked_at_is_made_no_state_directory(tmp_path, command):
    result = invoke(*command, "--local", "--state-dir", str(tmp_path))

    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "it holds no state of runs" in result.stderr


def test_a_region_of_the_environment_is_no_mistake_on_this_machine(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    result = invoke("resume", "latest", "--local", "--state-dir", "nowhere")

    assert "there is no such directory" in result.stderr


def test_ctrl_c_after_a_command_s_end_does_not_change_its_exit_status(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(main, "app", lambda **_: sys.exit(1))
    try:
        with pytest.raises(SystemExit) as ended:
            main.main()
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ended.value.code == 1


def test_help_imports_nothing_heavy():
    code = "import sys, cli.main; print(sorted({'aws_cdk', 'moto', 'boto3', 'duckdb', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
