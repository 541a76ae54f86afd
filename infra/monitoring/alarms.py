"""Alarms: what a person has to know of, and which of it is worth waking somebody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cw
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.functions import FUNCTIONS, Functions
from infra.monitoring import metrics
from infra.monitoring.targets import Watched
from massive_upload.constants import MOST_DRAINS
from massive_upload.domain.load import Load
from massive_upload.domain.quota import REFUSED_LOOK_AGE
from massive_upload.observability import Metric

ALLOWANCE_PERCENT = 95
"""Used of the org's daily allowances: half of the reserve that a load keeps by default (`domain/presets.py`) is gone. A
load that waits at its reserve is no reason to wake anybody."""

ALLOWANCE_PERIODS = REFUSED_LOOK_AGE // timedelta(seconds=metrics.PERIOD.to_seconds()) + 1
"""Lanes that wait at their reserve look at the org's day once an hour: in between it is no better."""

LOCK_ERRORS_PERCENT = 5
FEWEST_LOCK_ERRORS = 10
FUNCTION_ERRORS = 10
"""A function fails whenever the org does not answer, and is tried again: only many in a row are news."""
TIMEOUT_PERCENT = 80
LEFT_OPEN_PERIODS = MOST_DRAINS + 3
"""The watchdog hands a run to FinishRun at each look, which leaves it open as often as it waits for jobs in flight."""

_AT_LEAST = cw.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
_BELOW = cw.ComparisonOperator.LESS_THAN_THRESHOLD


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """One alarm, as data.

    Attributes:
        name: the construct's id.
        means: what has happened, and what the operator does.
        wakes: whether the pager is told; the others can wait for the morning.
        points: how many of the last ``periods`` must breach.
        silence_breaches: whether no data is as bad as a breach; else it is well.
    """

    name: str
    means: str
    metric: cw.IMetric
    threshold: float
    wakes: bool
    comparison: cw.ComparisonOperator = _AT_LEAST
    periods: int = 1
    points: int = 1
    silence_breaches: bool = False


class Alarms(Construct):
    """Every alarm, a topic that tells of each, and the pager's, which tells of those that wake.

    No composite alarm stands in between: while one of its alarms lasts it would tell of no other.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        watched: Watched,
        loads: Mapping[str, Load],
        email: str | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = self._build_topic("Topic")
        self.pager_topic = self._build_topic("PagerTopic")
        if email is not None:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))
        self.alarms = {spec.name: self._build_alarm(spec) for spec in alarm_specs(watched, loads)}

    def _build_topic(self, construct_id: str) -> sns.Topic:
        topic = sns.Topic(self, construct_id, enforce_ssl=True)
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AllowAlarms",
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            )
        )
        return topic

    def _build_alarm(self, spec: AlarmSpec) -> cw.Alarm:
        alarm = cw.Alarm(
            self,
            spec.name,
            alarm_description=spec.means,
            metric=spec.metric,
            threshold=spec.threshold,
            comparison_operator=spec.comparison,
            evaluation_periods=spec.periods,
            datapoints_to_alarm=spec.points,
            treat_missing_data=(
                cw.TreatMissingData.BREACHING if spec.silence_breaches else cw.TreatMissingData.NOT_BREACHING
            ),
        )
        for topic in (self.topic, self.pager_topic) if spec.wakes else (self.topic,):
            alarm.add_alarm_action(actions.SnsAction(topic))
            alarm.add_ok_action(actions.SnsAction(topic))
        return alarm


def alarm_specs(watched: Watched, loads: Mapping[str, Load]) -> Iterator[AlarmSpec]:
    """All alarms of a stack with these loads."""
    yield from _run_alarms(watched)
    for name, load in sorted(loads.items()):
        yield from _load_alarms(watched.service, name, load)
    yield from _progress_alarms(watched.service)
    yield from _allowance_alarms(watched.service)
    yield from _function_alarms(watched.functions)
    yield from _storage_alarms(watched)


def _run_alarms(watched: Watched) -> Iterator[AlarmSpec]:
    machine = watched.load_machine.state_machine_arn
    for name, metric, what in (
        (
            "RunFailed",
            "ExecutionsFailed",
            "A run has failed; its error names the cause. Mend it, then resume the run; where it has completed "
            "below its success criterion, retry its rejected rows.",
        ),
        ("RunTimedOut", "ExecutionsTimedOut", "A run went on for longer than the machine may. Resume it."),
        ("RunAborted", "ExecutionsAborted", "Somebody has stopped an execution. Resume the run when it may go on."),
    ):
        yield AlarmSpec(name=name, means=what, metric=metrics.states(metric, machine), threshold=1, wakes=True)
    yield AlarmSpec(
        name="RunSkipped",
        means="A schedule came while another run was loading the target, and nothing was loaded. Start the load when "
        "that run has ended, if the next night is too late.",
        metric=metrics.own(Metric.RUNS_SKIPPED, "Sum", service=watched.service),
        threshold=1,
        wakes=False,
    )
    failed = [
        metrics.states(metric, metrics.lanes_arn(watched.load_machine))
        for metric in ("ExecutionsFailed", "ExecutionsTimedOut")
    ]
    yield AlarmSpec(
        name="LaneFailed",
        means="A lane has broken off, which no retry could mend; the others go on. Resume its partition when they end.",
        metric=metrics.total(failed, label="Lanes failed"),
        threshold=1,
        wakes=True,
    )


def _load_alarms(service: str, name: str, load: Load) -> Iterator[AlarmSpec]:
    criterion = load.success_criterion_percent
    yield AlarmSpec(
        name=f"SuccessRate-{name}",
        means=f"Less than {criterion:g} % of the rows of {name} succeed. Query the failed rows by error code; stop the "
        "run where the cause is the mapping.",
        metric=metrics.own(Metric.SUCCESS_RATE_PERCENT, "Minimum", service=service, load=name),
        threshold=criterion,
        comparison=_BELOW,
        wakes=True,
    )
    locks = {
        "locks": metrics.own(Metric.LOCK_ERRORS, "Sum", service=service, load=name),
        "sent": metrics.own(Metric.ROWS_SENT, "Sum", service=service, load=name),
    }
    yield AlarmSpec(
        name=f"LockErrors-{name}",
        means=f"Rows of {name} fail on locks and are sent again. Lower pace.batch_rows, or run fewer lanes at once.",
        metric=metrics.math(
            f"IF(locks >= {FEWEST_LOCK_ERRORS}, 100 * locks / sent, 0)", locks, label="Lock errors per 100 rows"
        ),
        threshold=LOCK_ERRORS_PERCENT,
        periods=3,
        points=2,
        wakes=False,
    )


def _progress_alarms(service: str) -> Iterator[AlarmSpec]:
    yield AlarmSpec(
        name="PartitionStuck",
        means="A lane at work has been silent for half an hour. Query the lanes that stand still and the partition's "
        "story; stop the execution of its slice.",
        metric=metrics.own(Metric.STUCK_PARTITIONS, "Maximum", service=service),
        threshold=1,
        wakes=True,
    )
    yield AlarmSpec(
        name="PartitionNeverStarted",
        means="A lane should have begun half an hour ago. Look at the Map run of the execution, and at throttling.",
        metric=metrics.own(Metric.NEVER_STARTED_PARTITIONS, "Maximum", service=service),
        threshold=1,
        wakes=True,
    )
    yield AlarmSpec(
        name="RunLeftOpen",
        means="An execution ended an hour ago, and FinishRun cannot close its run. Read the log of FinishRun.",
        metric=metrics.own(Metric.LEFT_OPEN_RUNS, "Maximum", service=service),
        threshold=1,
        periods=LEFT_OPEN_PERIODS,
        points=LEFT_OPEN_PERIODS,
        wakes=True,
    )
    yield AlarmSpec(
        name="WatchdogSilent",
        means="The watchdog has not looked for 15 minutes: nobody finishes runs or misses lanes. Read its log.",
        metric=metrics.own(Metric.WATCHDOG_HEARTBEAT, "Sum", service=service),
        threshold=1,
        comparison=_BELOW,
        periods=3,
        points=3,
        silence_breaches=True,
        wakes=True,
    )


def _allowance_alarms(service: str) -> Iterator[AlarmSpec]:
    for name, metric, what in (
        ("ApiRequests", Metric.API_REQUESTS_USED_PERCENT, "API requests"),
        ("BulkBatches", Metric.BULK_BATCHES_USED_PERCENT, "Bulk API batches"),
    ):
        yield AlarmSpec(
            name=name,
            means=f"The org has used {ALLOWANCE_PERCENT} % of its daily {what}, all its users together. "
            "Find out who uses them; stop the run where others need the rest.",
            metric=metrics.own(metric, "Maximum", service=service),
            threshold=ALLOWANCE_PERCENT,
            periods=ALLOWANCE_PERIODS,
            wakes=True,
        )


def _function_alarms(functions: Functions) -> Iterator[AlarmSpec]:
    each: list[lambda_.Function] = [functions[spec.name] for spec in FUNCTIONS]
    yield AlarmSpec(
        name="FunctionErrors",
        means="Functions fail again and again. Query the failed tasks by error; an org that is down mends by itself.",
        metric=metrics.total([metrics.function("Errors", one) for one in each], label="Errors"),
        threshold=FUNCTION_ERRORS,
        periods=3,
        points=2,
        wakes=False,
    )
    yield AlarmSpec(
        name="FunctionThrottles",
        means="Functions are throttled: the account's concurrency is used up. Ask for more, or run fewer lanes.",
        metric=metrics.total([metrics.function("Throttles", one) for one in each], label="Throttles"),
        threshold=1,
        periods=3,
        points=2,
        wakes=False,
    )
    shares = [f"100 * m{index} / {spec.timeout_seconds * 1000}" for index, spec in enumerate(FUNCTIONS)]
    yield AlarmSpec(
        name="FunctionNearTimeout",
        means=f"A function took more than {TIMEOUT_PERCENT} % of its time. Lower pace.batch_rows if it is FetchPage, "
        "UploadBatch or SettleBatch; others wait for the org or the table.",
        metric=metrics.math(
            f"MAX([{', '.join(shares)}])",
            {f"m{index}": metrics.function("Duration", one, "Maximum") for index, one in enumerate(each)},
            label="Time used",
        ),
        threshold=TIMEOUT_PERCENT,
        wakes=False,
    )


def _storage_alarms(watched: Watched) -> Iterator[AlarmSpec]:
    yield AlarmSpec(
        name="TableThrottles",
        means="DynamoDB throttles the table; tasks try again by themselves. It scales up within minutes.",
        metric=metrics.table_throttles(watched.table),
        threshold=1,
        periods=3,
        points=2,
        wakes=False,
    )
    yield AlarmSpec(
        name="TableErrors",
        means="DynamoDB itself fails; tasks try again by themselves. See the AWS Health Dashboard.",
        metric=metrics.table_errors(watched.table),
        threshold=1,
        periods=3,
        points=2,
        wakes=False,
    )
    yield AlarmSpec(
        name="DeadLetters",
        means="A schedule could not start its load, or an event did not reach the watchdog. Read the message in the "
        "queue, start the load with the input that stands there, then purge the queue.",
        metric=metrics.dead_letters(watched.dead_letters),
        threshold=1,
        wakes=True,
    )
