"""The machine that people start: plan, load the partitions, sweep, finish; in a sequence, load by load."""

from __future__ import annotations

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.functions import FINISH_RUN, Functions
from infra.retry_policies import LOAD_TASK
from infra.workflow.lane import Lane
from infra.workflow.tasks import at, invoke, run_slice, wait
from massive_upload.constants import SWEEP_PARTITION
from massive_upload.contracts import Next, PlanSoFar

LANES_LABEL = "Lanes"
"""Part of the ARN of the Map's child executions, so that permissions and metrics can name them."""

_EXECUTION = {
    "arn": at("$$.Execution.Id"),
    "name": at("$$.Execution.Name"),
    "started_at": at("$$.Execution.StartTime"),
}


class LoadDefinition(Construct):
    """The states of a load; ``start`` is the first.

    Whatever fails on the way goes through FinishRun, which gives the verdict from what DynamoDB holds.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        functions: Functions,
        table: dynamodb.Table,
        slice_machine: sfn.StateMachine,
    ) -> None:
        super().__init__(scope, construct_id)
        self._functions = functions
        self._plan = self._build_plan_run()
        self._finish = self._build_finish()
        self._or_finish(self._plan)
        sweep = self._build_sweep(slice_machine)
        load = self._build_load_partitions(table, slice_machine, sweep)
        load.next(sweep)
        self.start = self._build_plan(load)

    def _build_plan_run(self) -> tasks.LambdaInvoke:
        return invoke(
            self,
            "PlanRun",
            self._functions["PlanRun"],
            payload=sfn.TaskInput.from_object(
                {
                    "execution": _EXECUTION,
                    "input": sfn.JsonPath.object_at("$$.Execution.Input"),
                    "plan": sfn.JsonPath.object_at("$.plan"),
                }
            ),
            result_path="$.plan",
            retries=LOAD_TASK,
        )

    def _build_plan(self, load: sfn.IChainable) -> sfn.IChainable:
        plan = self._plan
        ready = (
            sfn.Choice(self, "PlanReady?")
            .when(_is("$.plan.next", "Wait"), wait(self, "WaitForPlan", "$.plan.wait_seconds").next(plan))
            .when(_is("$.plan.next", "Load"), load)
            .when(_is("$.plan.next", "Skip"), sfn.Succeed(self, "RunSkipped"))
            .otherwise(self._finish)
        )
        plan.next(ready)
        nothing_planned = sfn.Pass(
            self,
            "NothingPlannedYet",
            result=sfn.Result.from_object(PlanSoFar().model_dump(mode="json")),
            result_path="$.plan",
        )
        return nothing_planned.next(plan)

    def _build_load_partitions(
        self, table: dynamodb.Table, slice_machine: sfn.StateMachine, sweep: sfn.IChainable
    ) -> sfn.DistributedMap:
        lanes = sfn.DistributedMap(
            self,
            "LoadPartitions",
            label=LANES_LABEL,
            map_execution_type=sfn.StateMachineType.STANDARD,
            items_path="$.plan.lanes",
            max_concurrency_path="$.plan.max_concurrency",
            item_selector={
                "run_id": at("$.plan.run_id"),
                "lane": sfn.JsonPath.object_at("$$.Map.Item.Value"),
            },
            # One partition's failure leaves the others running; the verdict comes from DynamoDB.
            tolerated_failure_percentage=100,
            result_path=sfn.JsonPath.DISCARD,
        )
        lanes.item_processor(Lane(self, "Lane", table=table, slice_machine=slice_machine).start)
        # What very many lanes say as they fail may be more than a state may hand on, though nothing of it is kept
        # (aws-cdk#24799), and States.ALL does not catch that (Step Functions guide, "Error handling"). All have ended.
        lanes.add_catch(sweep, errors=["States.DataLimitExceeded"], result_path=sfn.JsonPath.DISCARD)
        return self._or_finish(lanes)

    def _build_sweep(self, slice_machine: sfn.StateMachine) -> sfn.IChainable:
        sweep = self._or_finish(
            run_slice(
                self,
                "Sweep",
                slice_machine,
                run_id=at("$.plan.run_id"),
                partition=SWEEP_PARTITION,
                result_path="$.swept",
            )
        )
        sweep.next(
            sfn.Choice(self, "SweepDone?").when(_is("$.swept.outcome", Next.MORE.value), sweep).otherwise(self._finish)
        )
        needed = (
            sfn.Choice(self, "SweepNeeded?")
            .when(sfn.Condition.boolean_equals("$.sweep.needed", True), sweep)
            .otherwise(self._finish)
        )
        plan_sweep = self._or_finish(
            invoke(
                self,
                "PlanSweep",
                self._functions["PlanSweep"],
                payload=sfn.TaskInput.from_object({"run_id": at("$.plan.run_id")}),
                result_path="$.sweep",
                retries=LOAD_TASK,
            )
        )
        return plan_sweep.next(needed)

    def _build_finish(self) -> tasks.LambdaInvoke:
        finish = invoke(
            self,
            FINISH_RUN,
            self._functions[FINISH_RUN],
            payload=sfn.TaskInput.from_object({"execution": _EXECUTION, "state": sfn.JsonPath.object_at("$")}),
            result_path="$.verdict",
            retries=LOAD_TASK,
        )
        finish.add_catch(
            sfn.Fail(self, "RunNotFinished", error_path="$.error.Error", cause_path="$.error.Cause"),
            errors=["States.ALL"],
            result_path="$.error",
        )
        drain = wait(self, "WaitForJobsInFlight", "$.verdict.wait_seconds").next(finish)
        next_load = sfn.Pass(
            self,
            "NextLoad",
            parameters={
                "sequence": sfn.JsonPath.object_at("$.plan.sequence"),
                "position": sfn.JsonPath.math_add(sfn.JsonPath.number_at("$.plan.position"), 1),
            },
            result_path="$.plan",
        )
        more = (
            sfn.Choice(self, "MoreLoads?")
            .when(_is("$.verdict.next", "More"), next_load.next(self._plan))
            .otherwise(sfn.Succeed(self, "RunSucceeded", output_path="$.verdict"))
        )
        finish.next(
            sfn.Choice(self, "RunFinished?")
            .when(_is("$.verdict.next", "Drain"), drain)
            .when(sfn.Condition.or_(_is("$.verdict.next", "Succeed"), _is("$.verdict.next", "More")), more)
            .otherwise(sfn.Fail(self, "RunFailed", error_path="$.verdict.error", cause_path="$.verdict.cause"))
        )
        return finish

    def _or_finish(self, state: sfn.TaskStateBase) -> sfn.TaskStateBase:
        return state.add_catch(self._finish, errors=["States.ALL"], result_path="$.error")


def _is(path: str, value: str) -> sfn.Condition:
    return sfn.Condition.string_equals(path, value)
