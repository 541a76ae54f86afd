"""docs/deploy.md, command by command: the CDK's and AWS's own command lines against the embedded AWS over HTTP."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from infra.cdk_cli import CDK_VERSION
from infra.synth import ROOT
from local.aws.embedded import EmbeddedAws
from local.org import OrgServer, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from tests.e2e.opportunities import expected_rows, target_rows
from tests.npm import npm_package

# A minute on an idle machine: two syntheses, and some twenty starts of AWS's command line.
pytestmark = [pytest.mark.npm, pytest.mark.timeout(600)]

TIME_SCALE = 1_000.0
SOURCE = generated_opportunities(2_000, seed=11, rejected_share=0)
LONGEST_RUN_SECONDS = 120

COMMANDS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "deploy.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
INSTALL, BOOTSTRAP, DEPLOY, DIFF, SECRET, PLAN, LOAD, RESULT, DESTROY, REMOVE = COMMANDS


class Shell:
    """A shell in which one block of the page after the other is typed."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash"],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, commands: str) -> tuple[int, str]:
        """Every command up to the first that fails; its status and what all of them said."""
        steps = " && ".join(f"{{\n{command}\n}}" for command in re.split(r"(?<!\\)\n(?![ }])", commands.strip()))
        print(f"{steps} < /dev/null; echo ended $?", file=self._stdin, flush=True)
        said: list[str] = []
        for line in self._stdout:
            if line.startswith("ended "):
                return int(line.split()[1]), "".join(said)
            said.append(line)
        raise AssertionError("".join(said))

    def close(self) -> None:
        self._stdin.close()
        self._process.wait(10)
        self._stdout.close()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[EmbeddedAws]:
    with EmbeddedAws(work_dir=tmp_path / "aws", time_scale=TIME_SCALE) as aws:
        yield aws


@pytest.fixture
def shell(aws: EmbeddedAws, tmp_path: Path) -> Iterator[Shell]:
    npm_package("aws-cdk", CDK_VERSION)
    directory = tmp_path / "checkout"
    (directory / ".venv" / "bin").mkdir(parents=True)
    for name, command in (("python", "{python}"), ("aws", "{python} -m awscli")):
        script = directory / ".venv" / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {command.format(python=sys.executable)} "$@"\n')
        script.chmod(0o755)
    (directory / "events").symlink_to(ROOT / "events")
    host = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    shell = Shell(
        directory,
        {
            **host,
            "PATH": f"{directory / '.venv' / 'bin'}:{host['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "lambdas"), *filter(None, [host.get("PYTHONPATH")])]),
            "HOME": str(tmp_path / "home"),
            **aws.access.variables(),
            "AWS_ENDPOINT_URL_S3": aws.access.endpoint_url,
            "CDK_OUTPUT": str(tmp_path / "cdk.out"),
            "CDK_NOTICES": "false",
            "CI": "true",
        },
    )
    yield shell
    shell.close()


def test_every_command_of_the_page_does_what_the_page_says(aws: EmbeddedAws, shell: Shell, tmp_path: Path) -> None:
    assert INSTALL == "make install\n"
    _succeeds(shell, BOOTSTRAP, "bootstrapped")
    _succeeds(shell, DEPLOY, "MassiveUpload.LoadMachineArn = ")
    assert "night@example.com" in {s["Endpoint"] for s in aws.client("sns").list_subscriptions()["Subscriptions"]}

    _succeeds(shell, f"export CDK_APP={tmp_path / 'cdk.out'}", "")  # the page says nothing of it: it spares syntheses
    _succeeds(shell, DIFF, "Number of stacks with differences: 0")

    with OrgServer(OrgSettings(source=SOURCE, time_scale=TIME_SCALE)) as org:
        _put_login(shell, org.url)
        assert _ended(aws, _succeeds(shell, PLAN, "executionArn")) == "SUCCEEDED"
        assert target_rows(org.backend) == {}
        assert _ended(aws, _succeeds(shell, LOAD, "executionArn")) == "SUCCEEDED"
        assert target_rows(org.backend) == expected_rows(SOURCE)
    account = json.loads(_succeeds(shell, RESULT, '"status"').strip())
    assert (account["status"], account["succeeded"]) == ("Completed", 2_000)
    _succeeds(shell, "ls out/first-night", "receipt.json")

    _succeeds(shell, DESTROY, "destroyed")
    assert _left(aws) == {"tables": 1, "buckets": 1, "secrets": 1}
    _succeeds(shell, REMOVE, "")
    assert _left(aws) == {}


def _succeeds(shell: Shell, commands: str, word: str) -> str:
    status, said = shell.type(commands)
    assert status == 0, said
    assert word in said
    return said


def _put_login(shell: Shell, org_url: str) -> None:
    login = {"login_url": org_url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    status, said = shell.type(f"echo '{json.dumps(login)}' > secret.json")
    assert status == 0, said
    _succeeds(shell, SECRET, "VersionId")


def _ended(aws: EmbeddedAws, said: str) -> str:
    return aws.wait_for_execution(json.loads(said)["executionArn"], LONGEST_RUN_SECONDS).status


def _left(aws: EmbeddedAws) -> dict[str, int]:
    """What is in the account, the CDK's own stack apart."""
    buckets = [each for each in aws.client("s3").list_buckets()["Buckets"] if not each["Name"].startswith("cdk-")]
    found = {
        "tables": aws.client("dynamodb").list_tables()["TableNames"],
        "buckets": buckets,
        "secrets": aws.client("secretsmanager").list_secrets()["SecretList"],
        "functions": aws.client("lambda").list_functions()["Functions"],
        "machines": aws.client("stepfunctions").list_state_machines()["stateMachines"],
        "rules": aws.client("events").list_rules()["Rules"],
        "alarms": aws.client("cloudwatch").describe_alarms()["MetricAlarms"],
        "topics": aws.client("sns").list_topics()["Topics"],
        "queues": aws.client("sqs").list_queues().get("QueueUrls", []),
        "logs": aws.client("logs").describe_log_groups()["logGroups"],
        "dashboards": aws.client("cloudwatch").list_dashboards()["DashboardEntries"],
        "roles": [r for r in aws.client("iam").list_roles()["Roles"] if not r["RoleName"].startswith("cdk-")],
    }
    return {name: len(items) for name, items in found.items() if items}
