"""What ``massive-upload run``, ``resume`` and ``retry-failed`` were asked for, checked before anything begins."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.credentials import secret_for
from cli.errors import UsageMistake
from cli.kept_runs import KeptRun
from cli.local_run import RunRequest
from cli.run_ids import new_run_id
from infra.config import SUFFIX, load_file, loads_in_order
from massive_upload.domain.load import Load
from massive_upload.salesforce.urls import is_loopback


def local_requests(
    name: str,
    *,
    org_url: str,
    environment: Mapping[str, str],
    loads_dir: Path,
    mode: str,
    sets: Sequence[str],
    time_scale: float,
) -> list[RunRequest]:
    """The run that the options ask for; of a sequence, those of its loads, in order.

    Where one load is named, only that one is compiled: the others may be in the making.

    Raises:
        UsageMistake: an option is wrong, or the login is not in the environment.
        InvalidLoad: a load is wrong, as it is or as ``sets`` change it; a sequence they cannot change.
    """
    loads = loads_in_order(_load_path(loads_dir, name), sets=sets)
    secret = secret_for(org_url, environment)
    scale = _checked_time_scale(time_scale, org_url)
    return [
        RunRequest(
            load=load,
            mode=mode,
            secret=secret,
            run_id=new_run_id(load.name),
            time_scale=scale,
            followed_by=tuple(later.name for later in loads[place + 1 :]),
        )
        for place, load in enumerate(loads)
    ]


def load_named(loads_dir: Path, name: str) -> Load:
    """One load of a directory.

    Raises:
        UsageMistake: there is none of this name.
        InvalidLoad: it is wrong.
    """
    return load_file(_load_path(loads_dir, name))


def kept_request(
    run: KeptRun, *, org_url: str | None, environment: Mapping[str, str], time_scale: float | None
) -> RunRequest:
    """What is left of a run that is kept; what is not given is as the run has it.

    Raises:
        UsageMistake: an option is wrong, or the login is not in the environment.
    """
    url = org_url or run.org_url
    return RunRequest(
        load=run.load,
        mode=run.mode,
        retry_of=run.retry_of,
        retry_only=run.retry_only,
        followed_by=run.followed_by,
        secret=secret_for(url, environment),
        run_id=run.run_id,
        time_scale=_checked_time_scale(time_scale or run.time_scale, url),
    )


def _checked_time_scale(time_scale: float, org_url: str) -> float:
    if time_scale != 1 and not is_loopback(org_url):
        raise UsageMistake(
            f"--time-scale {time_scale:g} is for simulated orgs on 127.0.0.1: a real org would be asked far more often "
            "than its limits are made for. Leave --time-scale out."
        )
    return time_scale


def _load_path(loads_dir: Path, name: str) -> Path:
    known = sorted(path.stem for path in loads_dir.glob(f"*{SUFFIX}"))
    if name in known:
        return loads_dir / f"{name}{SUFFIX}"
    if not known:
        raise UsageMistake(f"{loads_dir} holds no loads; write {loads_dir / name}{SUFFIX}, or give --loads-dir.")
    nearest = difflib.get_close_matches(name, known, n=1)
    advice = f"write {nearest[0]}" if nearest else f"it has {', '.join(known)}"
    raise UsageMistake(f"There is no load {name!r} in {loads_dir}; {advice}.")
