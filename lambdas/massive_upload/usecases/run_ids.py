"""Which run an execution of ``load`` carries out."""

from __future__ import annotations

from collections.abc import Mapping

from massive_upload.contracts import ExecutionContext


def run_id_of(execution_input: Mapping[str, object], execution: ExecutionContext) -> str:
    """The input's run id, else the execution's name: so a repeated task means the same run."""
    given = execution_input.get("run_id")
    return given if isinstance(given, str) and given else execution.name
