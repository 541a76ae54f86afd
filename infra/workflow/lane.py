"""A lane: what the Distributed Map does with one item, ``{run_id, lane}``.

It waits for its turn, then runs slice after slice until the partition is done. It looks at the run's flags before each
wait, so that the lanes of a stopped run that have yet to begin end at once, however many take turns. Its output is
empty: the outcome of a partition is in DynamoDB.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.workflow.tasks import CONDITION_FAILED, at, look_at_run, number, run_slice, text, update_partition, wait
from massive_upload.constants import LONG_WAIT_SECONDS
from massive_upload.contracts import Next
from massive_upload.domain.progress import PartitionStatus

_WHERE_THE_CAUSE_IS = "The input of this state has it, and so has: massive-upload status RUN_ID"


class Lane(Construct):
    """The states of a lane; ``start`` is the first."""

    def __init__(
        self, scope: Construct, construct_id: str, *, table: dynamodb.Table, slice_machine: sfn.StateMachine
    ) -> None:
        super().__init__(scope, construct_id)
        self._table = table
        self._done = sfn.Pass(self, "LaneDone", result=sfn.Result.from_object({}))
        run = self._build_run_slice(slice_machine)
        self.start = self._build_stagger(run)

    def _build_stagger(self, run: sfn.IChainable) -> tasks.DynamoGetItem:
        look = look_at_run(self, "LookAtRun", self._table, result_path="$.run")
        long_wait = sfn.Wait(
            self,
            "StaggerMore",
            time=sfn.WaitTime.duration(cdk.Duration.seconds(LONG_WAIT_SECONDS)),
        )
        count = sfn.Pass(
            self,
            "CountStagger",
            parameters={
                "run_id": at("$.run_id"),
                "lane": {
                    "partition": at("$.lane.partition"),
                    "short_wait_seconds": sfn.JsonPath.number_at("$.lane.short_wait_seconds"),
                    "long_waits": sfn.JsonPath.math_add(sfn.JsonPath.number_at("$.lane.long_waits"), -1),
                },
            },
        )
        longer = (
            sfn.Choice(self, "StaggerLonger?")
            .when(sfn.Condition.number_greater_than("$.lane.long_waits", 0), long_wait.next(count).next(look))
            .otherwise(wait(self, "Stagger", "$.lane.short_wait_seconds").next(run))
        )
        look.next(
            sfn.Choice(self, "RunStopped?")
            .when(sfn.Condition.or_(_is_set("stop_requested"), _is_set("pause_requested")), self._done)
            .otherwise(longer)
        )
        return look

    def _build_run_slice(self, slice_machine: sfn.StateMachine) -> tasks.StepFunctionsStartExecution:
        run = run_slice(
            self,
            "RunSlice",
            slice_machine,
            run_id=at("$.run_id"),
            partition=at("$.lane.partition"),
            result_path="$.slice",
        )
        run.add_catch(self._build_mark_failed(), errors=["States.ALL"], result_path="$.error")
        run.next(
            sfn.Choice(self, "PartitionDone?")
            .when(sfn.Condition.string_equals("$.slice.outcome", Next.MORE.value), run)
            .otherwise(self._done)
        )
        return run

    def _build_mark_failed(self) -> tasks.DynamoUpdateItem:
        # The cause is in the table, and not here: a Map may hand on what a hundred causes or so come to, and no more.
        failed = sfn.Fail(self, "PartitionFailed", error_path="$.error.Error", cause=_WHERE_THE_CAUSE_IS)
        mark = update_partition(
            self,
            "MarkPartitionFailed",
            self._table,
            partition="$.lane.partition",
            update="SET #status = :failed, #error = :error, cause = :cause, epoch = epoch + :one",
            condition="#status IN (:pending, :running)",
            names={"#status": "status", "#error": "error"},
            values={
                ":failed": text(PartitionStatus.FAILED),
                ":pending": text(PartitionStatus.PENDING),
                ":running": text(PartitionStatus.RUNNING),
                ":error": text(at("$.error.Error")),
                ":cause": text(at("$.error.Cause")),
                ":one": number(1),
            },
            result_path=sfn.JsonPath.DISCARD,
        )
        mark.add_catch(failed, errors=[CONDITION_FAILED], result_path=sfn.JsonPath.DISCARD)
        mark.next(failed)
        return mark


def _is_set(flag: str) -> sfn.Condition:
    path = f"$.run.Item.{flag}.BOOL"
    return sfn.Condition.and_(sfn.Condition.is_present(path), sfn.Condition.boolean_equals(path, True))
