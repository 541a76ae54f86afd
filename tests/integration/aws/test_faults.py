"""Faults: invocations die, lose their answers, live on beside their retries, and are throttled, where a plan says."""

import json
from collections.abc import Callable, Iterator

import pytest

from local.aws.faults import Call, Fault, FaultPlan, Invocation, Kill, LoseAnswer, Moment, Outlive, Point, Throttle
from tests.integration.aws.assembly import Assembly, one_task
from tests.integration.aws.world import World

TABLE = "notes"
RETRIED = ["Runtime.ExitError", "Sandbox.Timedout", "Lambda.TooManyRequestsException", "Lambda.SdkClientException"]


def build(assembly: Assembly) -> None:
    assembly.table(TABLE)
    assembly.function(
        "Note",
        """
        import boto3

        def handler(event, context):
            table = boto3.client("dynamodb")
            for name in event["names"]:
                item = {"pk": {"S": name}, "sk": {"S": context.aws_request_id}}
                table.put_item(TableName="notes", Item=item)
            return len(event["names"])
        """,
    )
    retry = [{"ErrorEquals": RETRIED, "IntervalSeconds": 1, "MaxAttempts": 1}]
    assembly.machine("Retried", one_task("${Note.Arn}", Retry=retry))
    assembly.machine("Tried", one_task("${Note.Arn}"))


@pytest.fixture
def notes(world: World) -> Iterator[Callable[[], list[str]]]:
    """The names noted since the test began, in order of the name."""
    client = world.aws.client("dynamodb")

    def items() -> list[dict[str, dict[str, str]]]:
        found: list[dict[str, dict[str, str]]] = client.scan(TableName=TABLE)["Items"]
        return found

    for item in items():
        client.delete_item(TableName=TABLE, Key=item)
    yield lambda: sorted(item["pk"]["S"] for item in items())
    world.aws.faults = FaultPlan()


def at(request: int, moment: Moment = Moment.BEFORE) -> Point:
    return Point(request=request, moment=moment)


NAMES = {"names": ["a", "b", "c"]}


def test_a_plan_without_faults_counts_invocations_and_their_requests(world, notes):
    world.aws.faults = FaultPlan()
    assert world.run("Tried", NAMES).output == 3
    assert world.aws.faults.invocations == (Invocation("Note", 3),)
    assert notes() == ["a", "b", "c"]


@pytest.mark.parametrize(("point", "done"), [(at(2), ["a"]), (at(2, Moment.AFTER), ["a", "b"])])
def test_a_process_is_killed_before_or_after_a_request(world, notes, point, done):
    world.aws.faults = FaultPlan(Fault(function="Note", what=Kill(point)))
    result = world.run("Tried", NAMES)
    assert (result.status, result.error) == ("FAILED", "Runtime.ExitError")
    assert notes() == done
    assert len(world.aws.faults.struck) == 1


def test_only_the_named_invocation_is_struck(world, notes):
    world.aws.faults = FaultPlan(
        Fault(function="Note", nth=2, what=Kill(at(1))), Fault(function="Other", what=Throttle())
    )
    assert world.run("Tried", NAMES).status == "SUCCEEDED"
    assert world.run("Retried", NAMES).status == "SUCCEEDED"
    assert notes() == ["a", "a", "b", "b", "c", "c"]
    assert [fault.nth for fault in world.aws.faults.struck] == [2]


def test_a_point_that_an_invocation_does_not_reach_strikes_nobody(world, notes):
    world.aws.faults = FaultPlan(Fault(what=Kill(at(4))))
    assert world.run("Tried", NAMES).status == "SUCCEEDED"
    assert world.aws.faults.struck == ()
    assert len(notes()) == 3


def test_a_lost_answer_makes_a_retry_repeat_what_succeeded(world, notes):
    world.aws.faults = FaultPlan(Fault(what=LoseAnswer()))
    assert world.run("Retried", NAMES).output == 3
    assert notes() == ["a", "a", "b", "b", "c", "c"]


def test_a_throttled_invocation_does_not_run(world, notes):
    world.aws.faults = FaultPlan(Fault(what=Throttle()))
    result = world.run("Tried", NAMES)
    assert (result.error, notes()) == ("Lambda.TooManyRequestsException", [])


def test_a_function_taken_for_timed_out_goes_on_once_its_retry_has_ended(world, notes):
    world.aws.faults = FaultPlan(Fault(what=Outlive(at(2))))
    assert world.run("Retried", NAMES).output == 3
    assert notes() == ["a", "a", "b", "b", "c", "c"]


def test_a_function_taken_for_timed_out_goes_on_when_it_is_woken(world, notes):
    world.aws.faults = FaultPlan(Fault(what=Outlive(at(2), wakes_after=99)))
    result = world.run("Tried", NAMES)
    assert (result.error, notes()) == ("Sandbox.Timedout", ["a"])
    world.aws.wake_outlived()
    assert notes() == ["a", "b", "c"]


def test_an_execution_can_be_stopped_at_a_request_while_its_function_goes_on(world, notes):
    started: list[str] = []
    world.aws.faults = FaultPlan(Fault(what=Call(at(2), lambda: world.aws.stop_execution(started[0]))))
    client = world.aws.client("stepfunctions")
    machine = world.outputs["TriedArn"]
    started.append(f"{machine.replace(':stateMachine:', ':execution:')}:stopped")
    client.start_execution(stateMachineArn=machine, name="stopped", input=json.dumps(NAMES))
    assert world.aws.wait_for_execution(started[0], 60).status == "ABORTED"
    while notes() != ["a", "b", "c"]:
        """The function goes on: the test's time-out ends this where it does not."""
