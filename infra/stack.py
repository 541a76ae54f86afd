"""The one stack: everything that running a load needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.assets import dependency_layer, function_code
from infra.functions import LOG_RETENTION, WATCHDOG, Functions
from infra.monitoring.alarms import Alarms
from infra.monitoring.dashboard import Dashboard
from infra.monitoring.queries import Queries
from infra.monitoring.targets import Watched
from infra.schedules import Schedules
from infra.storage import Storage
from infra.workflow.load import LoadDefinition
from infra.workflow.slice import SliceDefinition
from infra.workflow.tasks import SLICE_TIMEOUT
from massive_upload.constants import LONGEST_EXECUTION_DAYS
from massive_upload.domain.load import Load, LoadSequence

LOAD_TIMEOUT = cdk.Duration.days(LONGEST_EXECUTION_DAYS)
"""A run that ends so is settled by the watchdog and can be resumed."""

WATCHDOG_INTERVAL = cdk.Duration.minutes(5)


class LoadStack(cdk.Stack):  # type: ignore[misc]  # aws_cdk is not followed by mypy: it is 100 MB of generated code
    """The stack."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        loads: Mapping[str, Load],
        sequences: Mapping[str, LoadSequence],
        staging: Path,
    ) -> None:
        super().__init__(
            scope, construct_id, description="Massive upload: Data Cloud to Core, row by row accounted for"
        )
        load_machine_name = f"{self.stack_name}-load"
        self.storage = Storage(self, "Storage")
        self.functions = Functions(
            self,
            "Functions",
            storage=self.storage,
            code=function_code(staging, loads, sequences),
            dependencies=dependency_layer(staging),
            load_machine_name=load_machine_name,
        )
        workflow = Construct(self, "Workflow")
        self.slice_machine = self._build_machine(
            "SliceMachine",
            name=f"{self.stack_name}-slice",
            comment="Some batches of one partition. Started by the load machine, not by hand.",
            start=SliceDefinition(workflow, "Slice", functions=self.functions, table=self.storage.table).start,
            timeout=SLICE_TIMEOUT,
        )
        self.load_machine = self._build_machine(
            "LoadMachine",
            name=load_machine_name,
            comment='Loads from Data Cloud into Core. Start it with {"load": "<name>"}.',
            start=LoadDefinition(
                workflow,
                "Load",
                functions=self.functions,
                table=self.storage.table,
                slice_machine=self.slice_machine,
            ).start,
            timeout=LOAD_TIMEOUT,
        )
        self.dead_letters = self._build_dead_letters()
        self._build_watchdog_rules()
        scheduled = {name: load.schedule for name, load in loads.items()}
        scheduled |= {name: sequence.schedule for name, sequence in sequences.items()}
        schedules = {name: schedule for name, schedule in scheduled.items() if schedule is not None}
        Schedules(self, "Schedules", schedules=schedules, machine=self.load_machine, dead_letters=self.dead_letters)
        watched = Watched(
            service=self.stack_name,
            load_machine=self.load_machine,
            slice_machine=self.slice_machine,
            functions=self.functions,
            table=self.storage.table,
            dead_letters=self.dead_letters,
        )
        email = self.node.try_get_context("alarm_email")
        self.alarms = Alarms(self, "Alarms", watched=watched, loads=loads, email=email)
        Dashboard(self, "Dashboard", watched=watched, loads=loads, alarms=self.alarms)
        Queries(self, "Queries", log_groups=self.functions.log_groups)
        self._build_outputs()

    def _build_machine(
        self, construct_id: str, *, name: str, comment: str, start: sfn.IChainable, timeout: cdk.Duration
    ) -> sfn.StateMachine:
        log_group = logs.LogGroup(
            self,
            f"{construct_id}Logs",
            # Names under this prefix share one entry of the account's resource policy, which is limited in size
            # (CloudWatch Logs guide, "Enabling logging from AWS services").
            log_group_name=f"/aws/vendedlogs/states/{name}",
            retention=LOG_RETENTION,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        return sfn.StateMachine(
            self,
            construct_id,
            state_machine_name=name,
            comment=comment,
            definition_body=sfn.DefinitionBody.from_chainable(start),
            timeout=timeout,
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )

    def _build_dead_letters(self) -> sqs.Queue:
        """Where starts and events go that could not be delivered; whoever looks finds what was to be done."""
        return sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )

    def _build_watchdog_rules(self) -> None:
        """The watchdog looks every few minutes, and at once when an execution ends without its own FinishRun."""
        watchdog = targets.LambdaFunction(self.functions[WATCHDOG], dead_letter_queue=self.dead_letters)
        events.Rule(self, "WatchdogSchedule", schedule=events.Schedule.rate(WATCHDOG_INTERVAL), targets=[watchdog])
        events.Rule(
            self,
            "LoadEnded",
            description="Stopping an execution and its time-out bypass every Catch of the load machine.",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "stateMachineArn": [self.load_machine.state_machine_arn],
                    "status": ["ABORTED", "TIMED_OUT", "FAILED"],
                },
            ),
            targets=[watchdog],
        )

    def _build_outputs(self) -> None:
        outputs = {
            "TableName": self.storage.table.table_name,
            "BucketName": self.storage.bucket.bucket_name,
            "SecretArn": self.storage.secret.secret_arn,
            "LoadMachineArn": self.load_machine.state_machine_arn,
            "SliceMachineArn": self.slice_machine.state_machine_arn,
            "AlarmTopicArn": self.alarms.topic.topic_arn,
            "PagerTopicArn": self.alarms.pager_topic.topic_arn,
        }
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)
