"""Rejected rows of a run, read from where it is recorded: a deployed stack, or a state directory."""

from __future__ import annotations

from itertools import chain

from cli.failures import Rejects
from cli.run_ids import has_lanes
from massive_upload.ports import Files, ProgressStore
from massive_upload.usecases.kept_rows import read_each
from massive_upload.usecases.rejected_files import rejected_files
from massive_upload.usecases.run_config import RunConfigs


def recorded_rejects(store: ProgressStore, files: Files, run_id: str) -> Rejects:
    """The rows that count as rejected so far.

    Args:
        store: holds the run.
        files: holds its rejected rows.
        run_id: the run's.
    """
    if not has_lanes(store.run(run_id)):
        return Rejects(run_id, "", ())
    found = rejected_files(store.partitions(run_id), store, files)
    whole = read_each(files, found.whole, lambda _key, file: file)
    target = RunConfigs(files).of(run_id).load.target
    return Rejects(run_id, target.external_id, chain(whole, [found.half_swept] if found.half_swept else []))
