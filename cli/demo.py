"""Everything at once on this machine: a simulated org, an embedded AWS, and a load from one to the other."""

from __future__ import annotations

import shlex
from pathlib import Path

from cli.errors import ExitCode
from cli.interrupts import Interrupts
from cli.local_run import RunRequest
from cli.run import carry_out_in_order
from cli.run_ids import new_run_id
from cli.synthesis import ROOT
from infra.config import load_file
from local.org import Faults, OrgProcess, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET

_ROWS_PER_ROW_WITHOUT_KEY = 1_000
_FAULTS = Faults.parse(
    """
    - match: {method: PUT, path: "/batches$", every: 9}
      action: {status: 503, code: SERVER_UNAVAILABLE, message: "Maintenance"}
    - match: {path: "/jobs/ingest", nth: 40}
      action: {expire_token: true}
    - match: {object: Opportunity, every: 10}
      action: {row_failures: {share: 0.02, code: UNABLE_TO_LOCK_ROW}}
    """
)


def run_demo(*, rows: int, lanes: int, time_scale: float) -> ExitCode:
    """Load generated opportunities, some of which are meant to be refused, and say what was simulated."""
    print(_introduction(rows, lanes, time_scale), flush=True)
    sets = [f"partitioning.count={lanes}"]
    load = load_file(ROOT / "loads" / "opportunity.yaml", sets=sets)
    run_id = new_run_id(load.name)
    out = Path("out") / run_id
    source = generated_opportunities(rows, null_keys=max(1, rows // _ROWS_PER_ROW_WITHOUT_KEY))
    settings = OrgSettings(source=source, faults=_FAULTS, time_scale=time_scale)
    with Interrupts() as interrupts, OrgProcess(settings) as org:
        secret = {"login_url": org.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        request = RunRequest(load=load, mode="full", secret=secret, run_id=run_id, time_scale=time_scale)
        code = carry_out_in_order([request], out=out, as_json=False, interrupts=interrupts)
        print(f"The org has {org.count(load.target.object):,} opportunities now.")
    if code is ExitCode.OK:
        print(_whats_next(out))
    return code


def _introduction(rows: int, lanes: int, time_scale: float) -> str:
    accounts = max(1, rows // 100)
    return f"""\
Simulated on this machine, {time_scale:g} times as fast as real time:
- a Salesforce org: {rows:,} opportunities in Data Cloud, unevenly spread over {accounts:,} accounts, whose rows lock
  one another; 0.2 % break a rule of the target, some have no key, some uploads fail, a session expires
- an AWS account: the stack that `cdk deploy` would deploy, with its state machines and functions
- the load: about {lanes} lanes, no two of which share an account
"""


def _whats_next(out: Path) -> str:
    return f"""
Try next:
- look at the rejected rows and their reasons:   massive-upload failures --out {shlex.quote(str(out))}
- keep such an org running:                      massive-upload org --port 8080 --rows 20000
- plan a load into it, or into a sandbox:        massive-upload plan opportunity --local --org-url URL
- rehearse with a file of your own:              massive-upload org --port 8080 --source FILE.csv"""
