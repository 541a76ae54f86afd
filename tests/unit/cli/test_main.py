import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli.main import app
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
        (("run", "--local"), "Missing argument"),
        (("start",), "Missing argument"),
        (("start", "opportunity", "--mode", "resume"), "--mode"),
        (("stop",), "Missing argument"),
        (("resume", "latest", "--partition", "-1"), "--partition"),
        (("run", "opportunity", "--local", "--mode", "half"), "--mode"),
        (("run", "opportunity", "--local", "--time-scale", "0"), "--time-scale"),
        (("run", "nothing", "--local", "--org-url", "http://127.0.0.1:1"), "There is no load 'nothing'"),
        (("resume", "latest", "--state-dir", "state"), "add --local"),
        (("resume", "latest", "--local", "--state-dir", "state", "--partition", "7"), "goes on as a whole"),
        (("resume", "latest", "--local"), "--state-dir is missing"),
        (("resume", "--local", "--state-dir", "state"), "Missing argument"),
        (("retry-failed", "latest", "--state-dir", "state"), "add --local"),
        (("retry-failed", "latest", "--local"), "--state-dir is missing"),
        (("retry-failed", "--local", "--state-dir", "state"), "Missing argument"),
        (("failures", "--state-dir", "state"), "add --local"),
        (("failures", "--local"), "--state-dir is missing"),
        (("failures", "--local", "--state-dir", "state", "--out", "out"), "give one of them"),
        (("resume", "latest", "--local", "--state-dir", "nowhere"), "--state-dir nowhere: there is no such directory"),
        (("org", "--port", "0", "--source", "nothing.csv"), "there is no such file"),
        (("org", "--port", "0", "--faults", "nothing.yaml"), "nothing.yaml"),
        (("org",), "--port"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_wrong(arguments, words):
    result = invoke(*arguments)

    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_help_imports_nothing_heavy():
    code = "import sys, cli.main; print(sorted({'aws_cdk', 'moto', 'boto3', 'duckdb', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
