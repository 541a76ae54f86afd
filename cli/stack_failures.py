"""Rejected rows of a run that the deployed stack carries out, or has carried out."""

from __future__ import annotations

from cli.failures import Rejects
from cli.run_ids import find_run
from cli.stack import Stack
from massive_upload.domain.progress import Run
from massive_upload.usecases.kept_rows import read_each
from massive_upload.usecases.rejected_files import rejected_files
from massive_upload.usecases.run_config import RunConfigs


def recorded_rejects(stack: Stack, run_id: str) -> Rejects:
    """The rows that count as rejected so far.

    Raises:
        UsageMistake: there is no such run.
    """
    run = find_run(stack.store, run_id, fits=_has_plan)
    if not _has_plan(run):
        return Rejects(run.run_id, "", ())
    keys = rejected_files(stack.store.partitions(run.run_id), stack.store, stack.files).all
    target = RunConfigs(stack.files).of(run.run_id).load.target
    return Rejects(run.run_id, target.external_id, read_each(stack.files, keys, lambda _key, file: file))


def _has_plan(run: Run) -> bool:
    return run.plan_name is not None
