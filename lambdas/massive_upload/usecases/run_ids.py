"""Which run an execution of ``load`` carries out."""

from __future__ import annotations

from collections.abc import Mapping

from massive_upload.contracts import ExecutionContext


def run_id_of(execution_input: Mapping[str, object], execution: ExecutionContext) -> str:
    """The input's run id, else the execution's name: so a repeated task means the same run."""
    given = execution_input.get("run_id")
    return given if isinstance(given, str) and given else execution.name


def run_id_in_sequence(execution_run_id: str, load: str) -> str:
    """The id of the run of one load, where the execution, which `run_id_of` names, carries out several."""
    return f"{execution_run_id}.{load}"


def run_id_beside(run_id: str, load: str, other_load: str) -> str:
    """The id of the run of another load of the same execution."""
    return run_id_in_sequence(run_id.removesuffix(f".{load}"), other_load)
