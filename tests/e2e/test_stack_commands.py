"""The commands for the deployed stack: the real ones, over HTTP, against the stack on the embedded AWS."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import stack_run
from cli.errors import ExitCode
from infra.config import load_file
from infra.synth import ROOT
from local.org import OrgServer, OrgSettings, generated_opportunities
from massive_upload.domain.load import LoadSequence
from massive_upload.domain.progress import PartitionStatus
from tests.e2e.commands import document, invoke
from tests.e2e.opportunities import expected_rows, target_rows
from tests.e2e.world import World, as_operator, deployed

TIME_SCALE = 500.0
ROWS = 2_000
SOURCE = generated_opportunities(ROWS, seed=5, rejected_share=0.02, null_keys=3)
PATIENCE_SECONDS = 120
FULL = Path("/dev/full")
LONG_DELAY = ("--set", "pace.delay_seconds=500")
"""A second of the test's between two batches."""


@pytest.fixture(scope="module")
def org() -> Iterator[OrgServer]:
    with OrgServer(OrgSettings(source=SOURCE, time_scale=TIME_SCALE)) as org:
        yield org


@pytest.fixture(scope="module")
def world(org: OrgServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    sets = [
        "partitioning.by=key",
        "partitioning.count=2",
        "pace.stagger_seconds=0",
        "pace.delay_seconds=0",
        "pace.batch_rows=200",
    ]
    loads = {name: load_file(ROOT / "loads" / f"{name}.yaml", sets=sets) for name in ("account", "opportunity")}
    with deployed(
        tmp_path_factory.mktemp("world"),
        loads=loads,
        sequences={"nightly": LoadSequence(name="nightly", sequence=("account", "opportunity"))},
        org_url=org.url,
        time_scale=TIME_SCALE,
    ) as world:
        yield world


@pytest.fixture(autouse=True)
def aws(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    as_operator(world, monkeypatch)
    monkeypatch.setattr(stack_run, "_LOOK_SECONDS", 0.2)


def start(*options: str) -> str:
    result = invoke("start", "opportunity", *options, "--json")
    assert result.exit_code == 0, result.output
    return str(document(result)["run_id"])


def start_and_wait_for_rows(world: World, *options: str) -> str:
    run_id = start(*LONG_DELAY, *options)
    while not sum(partition.settled_rows for partition in world.store.partitions(run_id)):
        assert not world.execution_has_ended(run_id)
    return run_id


def adds_up(account: dict[str, Any]) -> bool:
    classes = ("succeeded", "rejected", "not_sent", "skipped_null_key", "duplicates_dropped", "unsettled")
    return bool(account["source_rows"] == sum(account[name] for name in classes) == ROWS + 3)


def test_a_plan_is_shown_with_its_lanes() -> None:
    result = invoke("start", "opportunity", "--mode", "plan", "--watch", "--set", "partitioning.count=3")
    assert result.exit_code == 0, result.output
    assert "Nothing was written" in result.stdout
    assert len(re.findall(r"^│ 000\d", result.stdout, re.MULTILINE)) == 3


def test_plan_says_what_a_load_will_take() -> None:
    result = invoke("plan", "opportunity", "--set", "partitioning.count=3", "--json")
    assert result.exit_code == 0, result.output
    planned = document(result)
    assert (planned["mode"], planned["jobs"], planned["estimate"]["lanes"]) == ("plan", 0, 3)
    assert "left of the org's day" in result.stderr


def test_a_sequence_is_watched_load_by_load() -> None:
    result = invoke("start", "nightly", "--watch", "--json")
    assert result.exit_code == 0, result.output
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert (first["load"], second["load"]) == ("account", "opportunity")
    assert first["run_id"].removesuffix(".account") == second["run_id"].removesuffix(".opportunity")
    assert adds_up(second)

    shown = invoke("status", second["run_id"], "--json")
    assert document(shown)["status"] == "Completed"


@pytest.mark.parametrize(
    ("command", "status", "execution", "error"),
    [
        pytest.param("stop", "Stopped", "FAILED", "RunStopped", marks=pytest.mark.soak),
        ("pause", "Paused", "SUCCEEDED", None),
    ],
)
def test_a_run_is_halted_midway_and_resumed_by_one_partition_and_then_whole(
    org: OrgServer, world: World, command: str, status: str, execution: str, error: str | None
) -> None:
    run_id = start_and_wait_for_rows(world)

    asked = invoke(command, "latest")
    assert asked.exit_code == 0, asked.output
    assert f"Run {run_id} is asked to {command}" in asked.stdout
    assert f"massive-upload resume {run_id}" in asked.stdout

    watched = invoke("watch", "latest", "--json")
    assert watched.exit_code == 3, watched.output
    account = document(watched)
    assert (account["run_id"], account["status"], account["error"]) == (run_id, status, error)
    assert 0 < account["succeeded"] < account["succeeded"] + account["not_sent"]
    assert (account["unsettled"], adds_up(account)) == (0, True)
    assert f"massive-upload resume {run_id}" in watched.stderr
    assert (
        world.aws.client("stepfunctions").describe_execution(executionArn=world.execution_arn(run_id))["status"]
        == execution
    )

    again = invoke(command, run_id)
    assert again.exit_code == 2
    assert f"Run {run_id} is {status}; there is nothing to {command}." in again.stderr

    unknown = invoke("resume", run_id, "--partition", "7")
    assert unknown.exit_code == 2
    assert "has no partition 0007" in unknown.stderr
    one = invoke("resume", run_id, "--partition", "1", "--watch")
    assert one.exit_code == 1, one.output  # the other partition is still missing
    statuses = [partition.status for partition in world.store.partitions(run_id)]
    assert statuses == [PartitionStatus.STOPPED, PartitionStatus.COMPLETED]

    resumed = invoke("resume", "latest", "--watch", "--json")
    assert resumed.exit_code == 0, resumed.output
    completed = document(resumed)
    assert (completed["run_id"], completed["status"], completed["not_sent"]) == (run_id, "Completed", 0)
    assert adds_up(completed)
    assert completed["succeeded"] == len(expected_rows(SOURCE))
    assert target_rows(org.backend) == expected_rows(SOURCE)

    once_more = invoke("resume", run_id)
    assert once_more.exit_code == 2
    assert f"Run {run_id} is Completed and has nothing to go on with." in once_more.stderr


def test_status_lists_the_newest_runs_and_shows_one_with_its_partitions(world: World) -> None:
    older, newer = start("--watch"), start("--watch", "--set", "partitioning.count=3", "--run-id", "mine")
    listed = document(invoke("status", "--json"))
    assert [line["run_id"] for line in listed[:2]] == [newer, older]
    assert {line["status"] for line in listed[:2]} == {"Completed"}
    text = invoke("status").stdout
    assert text.index(newer) < text.index(older)

    shown = document(invoke("status", "latest", "--json"))
    assert (shown["run_id"], shown["ended_at"] is not None, adds_up(shown)) == (newer, True, True)
    assert [lane["partition"] for lane in shown["lanes"]] == ["0000", "0001", "0002"]
    assert sum(lane["succeeded"] for lane in shown["lanes"]) == shown["succeeded"]
    text = invoke("status", newer).stdout
    assert f"Run {newer}: Completed after" in text
    assert "rows of the source" in text
    assert len(re.findall(r"^│ 000\d", text, re.MULTILINE)) == 3

    taken = invoke("start", "opportunity", "--run-id", "mine")
    assert taken.exit_code == 2
    assert "There is already a run 'mine'" in taken.stderr


def test_what_was_refused_before_its_run_was_recorded_is_told_by_its_name() -> None:
    assert invoke("start", "nothing", "--run-id", "refused").exit_code == 2
    listed = invoke("status")
    assert listed.exit_code == 0, listed.output
    assert "refused: InvalidLoad" in listed.stdout.splitlines()
    for command in ("status", "watch"):
        shown = invoke(command, "refused")
        assert shown.exit_code == 2
        assert shown.stderr.startswith("InvalidLoad: There is no load 'nothing'.")


WATCH = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
from cli.main import main
main()
"""


def press_ctrl_c_while_watching(run_id: str) -> tuple[int, str]:
    """The exit status, and what was said on the standard error output."""
    watching = subprocess.Popen(
        [sys.executable, "-c", WATCH, "watch", run_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'lambdas'}"},
    )
    try:
        assert watching.stderr is not None
        assert "rows" in watching.stderr.readline()
        os.killpg(watching.pid, signal.SIGINT)
        _stdout, stderr = watching.communicate(timeout=PATIENCE_SECONDS)
    finally:
        watching.kill()
    return watching.returncode, stderr


def test_a_start_as_of_a_schedule_is_skipped_while_another_run_loads_the_target(world: World) -> None:
    run_id = start_and_wait_for_rows(world)
    skipped = invoke("start", "opportunity", "--scheduled")
    assert skipped.exit_code == 2
    assert skipped.stderr.startswith("AnotherRunActive: It was skipped, as a scheduled start is while another run is")
    assert invoke("stop", run_id).exit_code == 0
    assert invoke("watch", run_id).exit_code == 3


def test_a_run_that_goes_on_is_shown_and_left_alone(world: World) -> None:
    run_id = start_and_wait_for_rows(world, "--set", "pace.batch_rows=20")
    shown = document(invoke("status", run_id, "--json"))
    assert (shown["status"], shown["ended_at"], shown["asked_to"], adds_up(shown)) == ("Running", None, None, True)

    second = invoke("start", "opportunity")
    assert second.exit_code == 2
    assert f"AnotherRunActive: Run {run_id} is loading" in second.stderr
    resumed = invoke("resume", run_id)
    assert resumed.exit_code == 2
    assert "still being carried out" in resumed.stderr

    code, stderr = press_ctrl_c_while_watching(run_id)
    assert code == 3, stderr
    assert "a run that has begun goes on" in stderr
    assert "Traceback" not in stderr
    run = world.store.run(run_id)
    assert run is not None
    assert not run.is_halting

    assert invoke("stop", run_id).exit_code == 0
    stopping = document(invoke("status", run_id, "--json"))
    assert (stopping["asked_to"] == "stop") or stopping["status"] == "Stopped"
    assert invoke("watch", run_id).exit_code == 3


def test_an_execution_that_was_stopped_in_the_console_is_told_and_can_be_resumed(world: World) -> None:
    run_id = start_and_wait_for_rows(world)
    world.aws.stop_execution(world.execution_arn(run_id))
    watched = invoke("watch", run_id, "--json")
    assert watched.exit_code == 3, watched.output
    assert (document(watched)["status"], document(watched)["error"]) == ("Stopped", "ExecutionAborted")
    assert invoke("resume", run_id, "--watch").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "nothing"), "There is no run 'nothing'; the newest are "),
        (("watch", "nothing"), "There is no run 'nothing'"),
        (("stop", "nothing"), "There is no run 'nothing'"),
        (("pause", "latest"), "There is no run that 'latest' could mean"),
        (("resume", "nothing"), "There is no run 'nothing'"),
        (("start", "nothing"), "InvalidLoad: There is no load 'nothing'. Deployed are: account, opportunity, nightly"),
        (("start", "opportunity", "--run-id", "a b"), "--run-id 'a b': write up to 80"),
        (("start", "opportunity", "--set", "source.where=1"), "--set source: a deployed load is changed in its file"),
        (("start", "opportunity", "--set", "pace.batch_rows=x"), "--set pace.batch_rows: "),
        (("start", "opportunity", "--set", "pace"), "is no assignment"),
        (("start", "opportunity", "--start-with", "account"), "InvalidInput: start_with is for a sequence of loads."),
        (("start", "nightly", "--start-with", "contact"), "no load 'contact'. It has account, opportunity."),
        (("status", "--stack", "Other"), "There is no stack 'Other' in us-east-1; deploy it, or give --stack"),
        (("status", "--profile", "nobody"), "'aws configure list-profiles' names those"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(arguments: tuple[str, ...], words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "There are no AWS credentials (NoCredentialsError)"),
        (("AWS_REGION",), "No AWS region is set"),
    ],
)
def test_what_the_environment_lacks_is_named(
    missing: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in missing:
        monkeypatch.delenv(name)
    result = invoke("status")
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_stack_of_somebody_else_is_not_taken_for_one_of_ours(world: World) -> None:
    body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    world.aws.client("cloudformation").create_stack(StackName="Foreign", TemplateBody=body)
    result = invoke("status", "--stack", "Foreign")
    assert result.exit_code == 2
    assert "has no outputs of massive-upload" in result.stderr


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
def test_what_cannot_be_written_is_told_by_a_line_and_the_status():
    command = [sys.executable, "-c", "from cli.main import main; main()", "status"]
    with FULL.open("w") as full:
        ended = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'lambdas'}"},
        )
    assert ended.returncode == ExitCode.FILES_NOT_WRITTEN
    (line,) = ended.stderr.splitlines()
    assert "The output cannot be written (No space left on device)" in line
