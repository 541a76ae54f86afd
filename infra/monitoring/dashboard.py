"""The dashboard: the story of a night at one look, from how far the loads have come down to the functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cw
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.functions import FUNCTIONS
from infra.monitoring import metrics
from infra.monitoring.alarms import ALLOWANCE_PERCENT, LOCK_ERRORS_PERCENT, Alarms
from infra.monitoring.queries import ERRORS_BY_CODE, PARTITIONS, QUERIES, SLOWEST_BATCHES, SavedQuery
from infra.monitoring.targets import Watched
from massive_upload.domain.load import Load
from massive_upload.observability import Metric

_WHOLE, _HALF, _THIRD = 24, 12, 8
_TALL, _LOW = 6, 4
_WIDGET_ALARMS = 100
"""An alarm widget takes no more (CloudWatch API reference, "Dashboard body structure and syntax")."""


class Dashboard(Construct):
    """One dashboard for all loads of the stack: each has a line of its own in every graph."""

    def __init__(
        self, scope: Construct, construct_id: str, *, watched: Watched, loads: Mapping[str, Load], alarms: Alarms
    ) -> None:
        super().__init__(scope, construct_id)
        self._watched = watched
        self._loads = sorted(loads)
        self._criteria_percent = {load.success_criterion_percent for load in loads.values()}
        stack = cdk.Stack.of(self)
        cw.Dashboard(
            self,
            "Dashboard",
            # All dashboards of an account are global (CloudFormation reference, AWS::CloudWatch::Dashboard).
            dashboard_name=f"{stack.stack_name}-{stack.region}",
            default_interval=cdk.Duration.hours(12),
            widgets=[
                [self._links(), *self._alarm_states(alarms)],
                [self._progress(), self._rows_left(), self._time_left()],
                [self._throughput(), self._success_rate(), self._lock_errors()],
                [self._pace(), self._job_seconds(), self._allowances()],
                [self._processing(), self._lanes()],
                [self._log_table(PARTITIONS, _WHOLE)],
                [self._log_table(ERRORS_BY_CODE, _HALF), self._log_table(SLOWEST_BATCHES, _HALF)],
                [self._machines(), self._functions(), self._durations()],
            ],
        )

    # -- how the loads get on

    def _progress(self) -> cw.IWidget:
        return _numbers("Rows settled, %", self._each(Metric.PROGRESS_PERCENT, "Maximum"))

    def _rows_left(self) -> cw.IWidget:
        return _numbers("Rows left", self._each(Metric.ROWS_LEFT, "Minimum"))

    def _time_left(self) -> cw.IWidget:
        lines = []
        for index, load in enumerate(self._loads):
            ids = {
                f"left{index}": self._own(Metric.ROWS_LEFT, "Minimum", load),
                f"good{index}": self._own(Metric.ROWS_SUCCEEDED, "Sum", load),
                f"bad{index}": self._own(Metric.ROWS_REJECTED, "Sum", load),
            }
            left, good, bad = ids
            settled = f"(FILL({good}, 0) + FILL({bad}, 0))"
            expression = f"IF({left} > 0, {left} * PERIOD({left}) / {settled} / 3600, 0)"
            lines.append(metrics.math(expression, ids, label=load))
        return _numbers("Time left at the present pace, hours", lines)

    def _throughput(self) -> cw.IWidget:
        lines = []
        for index, load in enumerate(self._loads):
            ids = {
                f"good{index}": self._own(Metric.ROWS_SUCCEEDED, "Sum", load),
                f"bad{index}": self._own(Metric.ROWS_REJECTED, "Sum", load),
            }
            good, bad = ids
            lines.append(metrics.math(f"({good} + {bad}) / PERIOD({good})", ids, label=load))
        return _graph("Rows settled each second", lines)

    def _success_rate(self) -> cw.IWidget:
        return _graph(
            "Success rate, % (at the end, and from 10,000 rows on)",
            self._each(Metric.SUCCESS_RATE_PERCENT, "Minimum"),
            marks=[(percent, "criterion") for percent in sorted(self._criteria_percent)],
            top=100,
        )

    def _lock_errors(self) -> cw.IWidget:
        lines = self._ratios(Metric.LOCK_ERRORS, Metric.ROWS_SENT, factor=100)
        return _graph("Lock errors for each 100 rows sent", lines, marks=[(LOCK_ERRORS_PERCENT, "alarm")])

    def _pace(self) -> cw.IWidget:
        left = self._each(Metric.ROWS_SENT, "Average", " rows a job")
        right = self._each(Metric.ROWS_RESENT, "Sum", " rows sent again")
        return _graph("Pace: rows of a job, and rows sent again", left, right=right)

    def _job_seconds(self) -> cw.IWidget:
        left = self._each(Metric.JOB_SECONDS, "Average", " average")
        return _graph("Seconds a job takes", left + self._each(Metric.JOB_SECONDS, "Maximum", " longest"))

    def _allowances(self) -> cw.IWidget:
        used = (Metric.API_REQUESTS_USED_PERCENT, "API requests"), (Metric.BULK_BATCHES_USED_PERCENT, "Bulk batches")
        lines = [metrics.own(m, "Maximum", service=self._watched.service, label=label) for m, label in used]
        return _graph("Used of the org's day, %", lines, marks=[(ALLOWANCE_PERCENT, "alarm")], top=100)

    def _processing(self) -> cw.IWidget:
        left = self._ratios(Metric.PROCESSING_MILLISECONDS, Metric.ROWS_SENT, factor=1000, ending=" processing")
        apex = self._ratios(Metric.APEX_MILLISECONDS, Metric.ROWS_SENT, factor=1000, ending=" Apex")
        return _graph("Milliseconds for each 1,000 rows: all processing, and Apex", left + apex, width=_HALF)

    def _lanes(self) -> cw.IWidget:
        names = (
            Metric.OPEN_RUNS,
            Metric.RUNS_SKIPPED,
            Metric.LEFT_OPEN_RUNS,
            Metric.STUCK_PARTITIONS,
            Metric.NEVER_STARTED_PARTITIONS,
        )
        service = self._watched.service
        left = [metrics.own(name, "Maximum", service=service, label=name.value) for name in names]
        return _graph(
            "Open runs and lanes that stand still; batches settled",
            left,
            right=self._each(Metric.BATCHES_SETTLED, "Sum", " batches"),
            width=_HALF,
        )

    # -- what carries them

    def _machines(self) -> cw.IWidget:
        load, slices = self._watched.load_machine, self._watched.slice_machine
        lines = [
            metrics.states(name, arn, label=f"{label} {word}")
            for label, arn in (
                ("runs", load.state_machine_arn),
                ("lanes", metrics.lanes_arn(load)),
                ("slices", slices.state_machine_arn),
            )
            for name, word in (("ExecutionsStarted", "started"), ("ExecutionsFailed", "failed"))
        ]
        throttled = metrics.states("ExecutionThrottled", slices.state_machine_arn, label="slices throttled")
        return _graph("State machines", [*lines, throttled])

    def _functions(self) -> cw.IWidget:
        functions = self._all_functions()
        left = [
            metrics.total([metrics.function(name, one) for one in functions], label=name)
            for name in ("Errors", "Throttles")
        ]
        for index, line in enumerate(left):  # the same ids would mean other metrics in the same graph
            ids = {f"{key}x{index}": metric for key, metric in line.using_metrics.items()}
            left[index] = metrics.math(f"SUM([{', '.join(ids)}])", ids, label=line.label)
        throttles = metrics.table_throttles(self._watched.table)
        return _graph("Functions: errors and throttles; the table's throttles", left, right=[throttles])

    def _durations(self) -> cw.IWidget:
        lines = [
            metrics.function("Duration", one, "Maximum", label=spec.name)
            for spec, one in zip(FUNCTIONS, self._all_functions(), strict=True)
        ]
        return _graph("Functions: longest call, milliseconds", lines)

    def _all_functions(self) -> list[lambda_.Function]:
        return [self._watched.functions[spec.name] for spec in FUNCTIONS]

    # -- where to look next

    def _links(self) -> cw.IWidget:
        stack = cdk.Stack.of(self)
        console = f"https://{stack.region}.console.aws.amazon.com"
        machine = f"{console}/states/home?region={stack.region}#/statemachines/view/"
        logs = f"{console}/cloudwatch/home?region={stack.region}#logsV2:logs-insights"
        saved = ", ".join(query.title for query in QUERIES)
        text = (
            f"## {stack.stack_name}\n"
            f"[Runs]({machine}{self._watched.load_machine.state_machine_arn}) · "
            f"[Slices]({machine}{self._watched.slice_machine.state_machine_arn}) · "
            f"[Log queries]({logs}): saved under *{stack.stack_name}* are {saved}"
        )
        return cw.TextWidget(markdown=text, width=_HALF, height=_LOW)

    def _alarm_states(self, alarms: Alarms) -> list[cw.IWidget]:
        every = iter(alarms.alarms.values())
        groups = iter(lambda: list(islice(every, _WIDGET_ALARMS)), [])
        return [cw.AlarmStatusWidget(title="Alarms", alarms=group, width=_HALF, height=_LOW) for group in groups]

    def _log_table(self, query: SavedQuery, width: int) -> cw.IWidget:
        groups = [group.log_group_name for group in self._watched.functions.log_groups]
        return cw.LogQueryWidget(
            title=query.title, log_group_names=groups, query_lines=query.lines, width=width, height=_TALL
        )

    # -- lines

    def _own(self, metric: Metric, statistic: str, load: str, label: str | None = None) -> cw.Metric:
        return metrics.own(metric, statistic, service=self._watched.service, load=load, label=label)

    def _each(self, metric: Metric, statistic: str, ending: str = "") -> list[cw.IMetric]:
        return [self._own(metric, statistic, load, f"{load}{ending}") for load in self._loads]

    def _ratios(self, part: Metric, whole: Metric, *, factor: int, ending: str = "") -> list[cw.IMetric]:
        lines: list[cw.IMetric] = []
        for index, load in enumerate(self._loads):
            ids = {
                f"{part.value[:1].lower()}{part.value[1:]}{index}": self._own(part, "Sum", load),
                f"whole{index}": self._own(whole, "Sum", load),
            }
            top, bottom = ids
            lines.append(metrics.math(f"{factor} * {top} / {bottom}", ids, label=f"{load}{ending}"))
        return lines


def _numbers(title: str, lines: Iterable[cw.IMetric]) -> cw.IWidget:
    return cw.SingleValueWidget(title=title, metrics=list(lines), width=_THIRD, height=_LOW, sparkline=True)


def _graph(
    title: str,
    left: Sequence[cw.IMetric],
    *,
    right: Sequence[cw.IMetric] = (),
    marks: Sequence[tuple[float, str]] = (),
    top: float | None = None,
    width: int = _THIRD,
) -> cw.IWidget:
    return cw.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        left_annotations=[cw.HorizontalAnnotation(value=value, label=label) for value, label in marks],
        left_y_axis=cw.YAxisProps(min=None if top else 0, max=top, show_units=False),
        right_y_axis=cw.YAxisProps(min=0, show_units=False),
        width=width,
        height=_TALL,
    )
