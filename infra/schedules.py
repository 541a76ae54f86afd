"""Schedules: each load or sequence that has one starts by itself."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from massive_upload.domain.load import Schedule

RETRY_ATTEMPTS = 185
"""The most that there are, so that the event's age decides (EventBridge Scheduler API reference, RetryPolicy)."""
MAX_EVENT_AGE = cdk.Duration.hours(1)
"""A load that could not be started within the hour is not started at all: by default EventBridge tries for a whole day
(EventBridge Scheduler user guide, "Retry policy"), and a nightly load would begin in the morning."""


class Schedules(Construct):
    """The schedules of loads and sequences, each with a role of its own. What could not be started is a dead letter."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        schedules: Mapping[str, Schedule],
        machine: sfn.StateMachine,
        dead_letters: sqs.Queue,
    ) -> None:
        super().__init__(scope, construct_id)
        for name, schedule in sorted(schedules.items()):
            self._build_schedule(name, schedule, machine, dead_letters)

    def _build_schedule(
        self, load_name: str, schedule: Schedule, machine: sfn.StateMachine, dead_letters: sqs.Queue
    ) -> None:
        scope = Construct(self, load_name)  # of its own, as another load may have any name that begins with this one
        role = iam.Role(
            scope,
            "Role",
            description=f"Lets the schedule start the load {load_name}",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            ),
        )
        scheduler.Schedule(
            scope,
            "Schedule",
            description=f"Starts the load {load_name} of {cdk.Stack.of(self).stack_name}",
            schedule=scheduler.ScheduleExpression.expression(
                f"cron({' '.join(schedule.cron.split())})", cdk.TimeZone.of(schedule.timezone)
            ),
            time_window=scheduler.TimeWindow.off(),
            target=targets.StepFunctionsStartExecution(
                machine,
                input=scheduler.ScheduleTargetInput.from_object(
                    {"load": load_name, "mode": schedule.mode, "scheduled": True}
                ),
                role=role,
                dead_letter_queue=dead_letters,
                retry_attempts=RETRY_ATTEMPTS,
                max_event_age=MAX_EVENT_AGE,
            ),
        )
