"""Wait states and retry intervals, divided by the time scale and ended at once by StopExecution.

Defects: both take real time; a retry's wait cannot be interrupted; a Wait counts whole seconds only.
"""

import time

from moto.stepfunctions.parser.asl.component.common.retry.max_attempts_decl import MaxAttemptsOutcome
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
from moto.stepfunctions.parser.asl.component.common.retry.retrier_outcome import RetrierOutcome
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction

from local.aws.active import active
from local.aws.hooks.patching import replace
from local.aws.untyped import Untyped

# moto's Environment sets and clears the event in one breath: a thread that is about to wait misses it.
_LONGEST_SLEEP_SECONDS = 1.0


def install() -> None:
    """Scales Wait states and Retry; TimeoutSeconds stays real."""
    replace(WaitFunction, "_wait_interval", lambda _: _wait_interval)
    replace(RetrierDecl, "_eval_body", lambda _: _eval_retrier)


def _wait_interval(_self: Untyped, env: Untyped, wait_seconds: float) -> None:
    wait_scaled(env, wait_seconds)


def wait_scaled(env: Untyped, wait_seconds: float) -> None:
    """Waits the scaled time, or until the execution of `env` ends for another reason."""
    running = active()
    scale = running.time_scale if running else 1.0
    deadline = time.monotonic() + max(0.0, float(wait_seconds)) / scale
    while env.is_running():
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return
        env.program_state_event.wait(min(remaining, _LONGEST_SLEEP_SECONDS))


def _eval_retrier(self: Untyped, env: Untyped) -> None:
    self.error_equals.eval(env)
    if not env.stack.pop():
        env.stack.append(RetrierOutcome.Skipped)
        return
    self.max_attempts.eval(env=env)
    if env.stack.pop() == MaxAttemptsOutcome.EXHAUSTED:
        env.stack.append(RetrierOutcome.Failed)
        return
    for step in (self.interval_seconds, self.backoff_rate, self.max_delay_seconds, self.jitter_strategy):
        step.eval(env=env)
    wait_scaled(env, env.stack.pop())
    env.stack.append(RetrierOutcome.Executed)
