"""What ``massive-upload run`` was asked for, checked before anything begins."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.credentials import secret_for
from cli.errors import UsageMistake
from cli.local_run import RunRequest
from cli.run_ids import new_run_id
from infra.config import SUFFIX, load_file
from massive_upload.salesforce.urls import is_loopback


def local_request(
    load_name: str,
    *,
    org_url: str,
    environment: Mapping[str, str],
    loads_dir: Path,
    mode: str,
    sets: Sequence[str],
    time_scale: float,
) -> RunRequest:
    """The run that the options ask for. Only the named load is compiled: the others may be in the making.

    Raises:
        UsageMistake: an option is wrong, or the login is not in the environment.
        InvalidLoad: the load is wrong, as it is or as ``sets`` change it.
    """
    load = load_file(_load_path(loads_dir, load_name), sets=sets)
    secret = secret_for(org_url, environment)
    if time_scale != 1 and not is_loopback(org_url):
        raise UsageMistake(
            f"--time-scale {time_scale:g} is for simulated orgs on 127.0.0.1: a real org would be asked far more often "
            "than its limits are made for. Leave --time-scale out."
        )
    return RunRequest(load=load, mode=mode, secret=secret, run_id=new_run_id(load.name), time_scale=time_scale)


def _load_path(loads_dir: Path, name: str) -> Path:
    known = sorted(path.stem for path in loads_dir.glob(f"*{SUFFIX}"))
    if name in known:
        return loads_dir / f"{name}{SUFFIX}"
    if not known:
        raise UsageMistake(f"{loads_dir} holds no loads; write {loads_dir / name}{SUFFIX}, or give --loads-dir.")
    nearest = difflib.get_close_matches(name, known, n=1)
    advice = f"write {nearest[0]}" if nearest else f"it has {', '.join(known)}"
    raise UsageMistake(f"There is no load {name!r} in {loads_dir}; {advice}.")
