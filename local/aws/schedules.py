"""EventBridge Scheduler: in the embedded AWS no schedule fires by itself, so that a test or a person fires it."""

from local.aws.embedded import EmbeddedAws


def fire_schedule(aws: EmbeddedAws, name: str) -> str:
    """Starts what the deployed schedule says: its target, with its input and nothing else.

    Returns:
        The ARN of the execution.

    Raises:
        LookupError: There is no such schedule.
        ValueError: It is disabled, or its target is no state machine.
    """
    scheduler = aws.client("scheduler")
    groups = {each["Name"]: each["GroupName"] for each in scheduler.list_schedules()["Schedules"]}
    if name not in groups:
        raise LookupError(f"There is no schedule {name}; there are: {', '.join(sorted(groups)) or 'none'}.")
    schedule = scheduler.get_schedule(Name=name, GroupName=groups[name])
    target = schedule["Target"]
    if schedule["State"] != "ENABLED":
        raise ValueError(f"The schedule {name} is {schedule['State']}.")
    if ":stateMachine:" not in target["Arn"]:
        raise ValueError(f"The schedule {name} starts {target['Arn']}, which is no state machine.")
    answer = aws.client("stepfunctions").start_execution(stateMachineArn=target["Arn"], input=target["Input"])
    return str(answer["executionArn"])
