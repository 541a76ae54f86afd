"""Nested executions: `states:startExecution.sync:2`.

Defects: moto asks for the nested execution's status every half second, and leaves it running when its parent was
stopped or the task timed out. AWS stops it (Step Functions developer guide, "Run a job": the child is stopped on a
best-effort basis). Beside the nested execution moto waits for a task token that nobody has, in a thread that breaks
where the parent is stopped before the task's time-out is evaluated; the end of a first try calls that wait off for
good, so that a second one which takes a while is taken for timed out.
"""

from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

# Long enough to cost nothing, short enough that a stopped parent stops its child at once.
_LOOK_AT_PARENT_SECONDS = 0.25


def install() -> None:
    """Waits for the end of the nested execution, without polling and for nothing else, and stops it with its parent."""
    replace(state_task_service_callback, "_DELAY_SECONDS_SYNC_CONDITION_CHECK", lambda _: 0)
    replace(StateTaskServiceSfn, "_build_sync2_resolver", _build_sync2_resolver)
    replace(StateTaskServiceCallback, "_eval_sync", _build_eval_sync)


def _build_sync2_resolver(original: Untyped) -> Untyped:
    def build(
        self: Untyped, env: Untyped, resource_runtime_part: Untyped, *args: Untyped, **kwargs: Untyped
    ) -> Untyped:
        arn = env.stack[-1]["ExecutionArn"]
        resolve_status = original(self, env, resource_runtime_part, *args, **kwargs)
        execution = _execution(arn)

        def resolve() -> Untyped:
            return resolve_status() if execution.ended.wait(_LOOK_AT_PARENT_SECONDS) else None

        resolve.execution = execution  # type: ignore[attr-defined]  # for _eval_sync below
        return resolve

    return build


def _build_eval_sync(original: Untyped) -> Untyped:
    def eval_sync(
        self: Untyped,
        env: Untyped,
        sync_resolver: Untyped,
        timeout_seconds: Untyped,
        callback_endpoint: Untyped,
        heartbeat_endpoint: Untyped,
    ) -> Untyped:
        del callback_endpoint  # of the token
        outcome = original(self, env, sync_resolver, timeout_seconds, None, heartbeat_endpoint)
        execution = getattr(sync_resolver, "execution", None)
        if execution is not None and not env.is_running() and not execution.ended.is_set():
            _backend(execution.execution_arn).stop_execution(execution.execution_arn)
        return outcome

    return eval_sync


def _backend(execution_arn: str) -> Untyped:
    _, _, _, region, account, *_ = execution_arn.split(":")
    return stepfunctions_parser_backends[account][region]


def _execution(arn: str) -> Untyped:
    return _backend(arn).describe_execution(arn)
