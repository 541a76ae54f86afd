"""The embedded AWS with the stack of one test module."""

from typing import Any

from local.aws.embedded import EmbeddedAws, ExecutionResult
from local.aws.figures import ExecutionFigures


class World:
    """The running embedded AWS and the outputs of what was deployed to it."""

    def __init__(self, aws: EmbeddedAws, outputs: dict[str, str]) -> None:
        self.aws = aws
        self.outputs = outputs

    def run(self, machine: str, payload: Any = None, *, name: str | None = None) -> ExecutionResult:
        """Runs a machine to its end."""
        arn = self.aws.start_execution(self.outputs[f"{machine}Arn"], payload or {}, name)
        return self.aws.wait_for_execution(arn, 60)

    def figures_of(self, machine: str) -> list[ExecutionFigures]:
        """Returns the figures of the machine's executions in the order of their start."""
        return [execution for execution in self.aws.figures.executions if execution.machine == machine]
