"""The slice machine: a bounded number of batches of one partition.

Its input is ``{run_id, partition}``; the tasks hand on ``step``. A slice records its own errors and succeeds with an
outcome: More (start another one) or Done.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.functions import Functions
from infra.retry_policies import LAMBDA_TASK, PASSING_ERROR_NAMES, PATIENCE_TASK, RetryPolicy
from infra.workflow.tasks import CONDITION_FAILED, at, invoke, number, number_at, text, update_partition, wait
from massive_upload.contracts import Next
from massive_upload.domain.progress import PartitionStatus
from massive_upload.errors import FencedOut

CLAIM_EVENTS = 10
"""History events up to the first FetchPage: the execution's start, ClaimPartition, and a margin for its end."""


class SliceDefinition(Construct):
    """The states of a slice; ``start`` is the first."""

    def __init__(self, scope: Construct, construct_id: str, *, functions: Functions, table: dynamodb.Table) -> None:
        super().__init__(scope, construct_id)
        self._functions = functions
        self._table = table
        self._done = sfn.Succeed(self, "SliceDone")
        self._fenced = self._outcome_done("SliceFenced", "A newer slice or another run has taken over.")
        self._record_failure = self._build_record_failure()

        fetch = self._task("FetchPage")
        upload = self._task("UploadBatch")
        check = self._task("CheckJob")
        settle = self._task("SettleBatch")
        check_patience = self._task("CheckPatience", retries=PATIENCE_TASK)
        self._catch([fetch, upload, check, settle], check_patience)

        wait_for_job = self._wait("WaitForJob").next(check)
        upload.next(self._choose("JobInFlight?", {Next.WAIT_FOR_JOB: wait_for_job, Next.FETCH: fetch}))
        fetch.next(
            self._choose(
                "BatchReady?",
                {
                    Next.UPLOAD: upload,
                    Next.WAIT_FOR_QUERY: self._wait("WaitForQuery").next(fetch),
                    Next.WAIT_FOR_TURN: self._wait("WaitForTurn").next(fetch),
                    Next.WAIT_FOR_JOB: wait_for_job,
                },
            )
        )
        check.next(self._choose("JobEnded?", {Next.WAIT_FOR_JOB: wait_for_job, Next.SETTLE: settle, Next.FETCH: fetch}))
        settle.next(
            self._choose(
                "NextStep?",
                {
                    Next.UPLOAD: upload,
                    Next.FETCH: self._wait("Pace").next(fetch),
                    Next.BACK_OFF: self._wait("BackOff").next(fetch),
                },
            )
        )
        check_patience.next(
            self._choose(
                "Patient?",
                {
                    Next.WAIT_FOR_ORG: self._wait("WaitForOrg").next(fetch),
                    Next.WAIT_LONGER: self._wait("WaitLonger").next(check_patience),
                },
            )
        )
        self.start = self._build_claim().next(fetch)

    def _build_claim(self) -> tasks.DynamoUpdateItem:
        claim = update_partition(
            self,
            "ClaimPartition",
            self._table,
            partition="$.partition",
            update="SET epoch = epoch + :one, #status = :running, last_progress_at = :entered_at",
            condition="attribute_exists(pk) AND #status IN (:pending, :running)",
            names={"#status": "status"},
            values={
                ":one": number(1),
                ":pending": text(PartitionStatus.PENDING),
                ":running": text(PartitionStatus.RUNNING),
                ":entered_at": text(at("$$.State.EnteredTime")),
            },
            return_values=tasks.DynamoReturnValues.UPDATED_NEW,
            result_selector={
                "epoch": sfn.JsonPath.string_to_json(at("$.Attributes.epoch.N")),
                "events": CLAIM_EVENTS,
            },
            result_path="$.step",
        )
        nothing = self._outcome_done("NothingToClaim", "The partition has ended, or was never planned.")
        return claim.add_catch(nothing, errors=[CONDITION_FAILED], result_path=sfn.JsonPath.DISCARD)

    def _build_record_failure(self) -> tasks.DynamoUpdateItem:
        record = update_partition(
            self,
            "RecordFailure",
            self._table,
            partition="$.partition",
            update="SET #status = :failed, #error = :error, cause = :cause",
            condition="epoch = :epoch AND #status = :running",
            names={"#status": "status", "#error": "error"},
            values={
                ":failed": text(PartitionStatus.FAILED),
                ":running": text(PartitionStatus.RUNNING),
                ":error": text(at("$.error.Error")),
                ":cause": text(at("$.error.Cause")),
                ":epoch": number_at("$.step.epoch"),
            },
            result_selector={"next": Next.DONE.value},
            result_path="$.step",
        )
        record.add_catch(self._fenced, errors=[CONDITION_FAILED], result_path=sfn.JsonPath.DISCARD)
        record.next(self._done)
        return record

    def _catch(self, work: list[tasks.LambdaInvoke], check_patience: tasks.LambdaInvoke) -> None:
        for task in work:
            task.add_catch(self._fenced, errors=[FencedOut.__name__], result_path=sfn.JsonPath.DISCARD)
            task.add_catch(check_patience, errors=list(PASSING_ERROR_NAMES), result_path="$.error")
            task.add_catch(self._record_failure, errors=["States.ALL"], result_path="$.error")
        check_patience.add_catch(self._record_failure, errors=["States.ALL"], result_path="$.error")

    def _task(self, name: str, *, retries: Sequence[RetryPolicy] = LAMBDA_TASK) -> tasks.LambdaInvoke:
        return invoke(self, name, self._functions[name], result_path="$.step", retries=retries)

    def _wait(self, name: str) -> sfn.Wait:
        return wait(self, name, "$.step.wait_seconds")

    def _outcome_done(self, name: str, comment: str) -> sfn.Pass:
        outcome = sfn.Result.from_object({"next": Next.DONE.value})
        return sfn.Pass(self, name, comment=comment, result=outcome, result_path="$.step").next(self._done)

    def _choose(self, name: str, ways: dict[Next, sfn.IChainable]) -> sfn.Choice:
        choice = sfn.Choice(self, name)
        for next_step, state in ways.items():
            choice.when(sfn.Condition.string_equals("$.step.next", next_step.value), state)
        return choice.otherwise(self._done)
