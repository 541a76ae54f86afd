"""One loader in a process of its own, which holds nothing else.

``python -m benchmarks.loader NAME URL CLIENT_ID CLIENT_SECRET ANSWER`` writes into ANSWER what it used from
after its imports, and after its clients of AWS were made, to its end: CPU seconds of user and system, and the peak of
resident memory, all included.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.deals import JOB_ROWS, LARGE_JOB_ROWS, MIXED_SQL, MIXED_TYPES, SQL, Login
from massive_upload.constants import GARBAGE_THRESHOLD

PYTHON_LOADERS = (
    "floor",
    "massive-upload",
    "floor, large jobs",
    "massive-upload, large jobs",
    "floor, mixed rows",
    "massive-upload, mixed rows",
    "floor, rare collections",
    "simple-salesforce, file",
    "simple-salesforce, dicts",
)


@dataclass(frozen=True)
class Cost:
    """What a loader's process used; ``requests`` are those that the org has counted."""

    cpu_seconds: float
    peak_mb: float
    rows: int
    requests: int = 0


def _loader(name: str) -> Callable[[Login], int]:
    """A loader, once all that it needs is loaded, and nothing that another one needs."""
    kind, _, variant = name.partition(", ")
    job_rows = LARGE_JOB_ROWS if variant == "large jobs" else JOB_ROWS
    if kind == "massive-upload":
        import massive_upload.lambda_handler  # noqa: F401 - as on Lambda, whose garbage collection it sets
        from benchmarks import whole_run

        clients = whole_run.AwsClients.made()
        return partial(
            whole_run.massive_upload,
            clients=clients,
            job_rows=job_rows,
            types=MIXED_TYPES if variant == "mixed rows" else {},
        )
    from benchmarks.peers import python_loaders as peers

    if kind == "floor":
        if variant == "rare collections":
            gc.set_threshold(GARBAGE_THRESHOLD)
        return partial(peers.floor, job_rows=job_rows, sql=MIXED_SQL if variant == "mixed rows" else SQL)
    import simple_salesforce.bulk2  # noqa: F401 - before anything is measured

    return {"file": peers.simple_salesforce_file, "dicts": peers.simple_salesforce_dicts}[variant]


def carry_out(name: str, login: Login) -> Cost:
    """Run a loader in this process."""
    load = _loader(name)
    before = resource.getrusage(resource.RUSAGE_SELF)
    rows = load(login)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu_seconds, _peak_mb(), rows)


def _peak_mb() -> float:
    """This process's peak of resident memory; getrusage would begin with that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    name, url, client_id, client_secret, answer = sys.argv[1:]
    cost = carry_out(name, Login(url, client_id, client_secret))
    Path(answer).write_text(json.dumps(asdict(cost)), encoding="utf-8")
