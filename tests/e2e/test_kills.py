"""A durable local run is killed with ``kill -9``, again and again, and ``resume`` finishes it with the same promise.

The walk kills at every so many writes to the state directory. All of them, before and after, take about 25 minutes:

    WALK_STRIDE=1 .venv/bin/pytest tests/e2e/test_kills.py -k walk --timeout 7200
"""

import csv
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from infra.config import load_file
from infra.synth import ROOT
from local.aws.state import StateDirectory
from local.org import Faults, OrgServer, OrgSettings, generated_opportunities
from local.org.credentials import CLIENT_ID, CLIENT_SECRET
from massive_upload.adapters.dynamodb_items import partition_from
from massive_upload.domain.progress import Partition
from tests.e2e.conftest import Assembled
from tests.e2e.forked_command import Command, Kill, Moment
from tests.e2e.opportunities import expected_rejects, expected_rows, target_rows
from tests.thoroughness import IS_SOAK, stride

TIME_SCALE = 1_000.0
SOURCE = generated_opportunities(400, seed=11, rejected_share=0.03, null_keys=3)
SETS = [
    "partitioning.by=key",
    "partitioning.count=2",
    "pace.batch_rows=100",
    "pace.stagger_seconds=0",
    "pace.delay_seconds=0",
]
KILLS = 3 if IS_SOAK else 2
STRIDE = int(os.environ.get("WALK_STRIDE", stride(199)))

# Some rows of the second job fail for a passing reason, so that there is an attempt 1 to be killed in.
FAULTS = """
- match: {object: Opportunity, nth: 2}
  action: {row_failures: {share: 0.1, code: UNABLE_TO_LOCK_ROW}}
"""


@pytest.fixture
def assembly(assembled: Assembled) -> Path:
    return assembled(load_file(ROOT / "loads" / "opportunity.yaml", sets=SETS))


@dataclass
class Night:
    """An org, and a run into it that is kept in a state directory."""

    org: OrgServer
    assembly: Path
    directory: Path
    _settled: set[str] = field(default_factory=set)
    _sent_again: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        upload = self.org.backend.ingest.upload

        def observed(job_id: str, content: bytes) -> None:
            self._sent_again |= self._settled & _keys_of(content)
            upload(job_id, content)

        self.org.backend.ingest.upload = observed  # type: ignore[method-assign]

    @property
    def state_dir(self) -> Path:
        return self.directory / "state"

    def start(self, kill: Kill | None = None) -> Command:
        sets = [word for assignment in SETS for word in ("--set", assignment)]
        return self._command("run", "opportunity", "--org-url", self.org.url, "--time-scale", "1000", *sets, kill=kill)

    def resume(self, run_id: str = "latest", kill: Kill | None = None) -> Command:
        return self._command("resume", run_id, kill=kill)

    def _command(self, *arguments: str, kill: Kill | None) -> Command:
        options = ("--local", "--json", "--state-dir", str(self.state_dir), "--loads-dir", str(ROOT / "loads"))
        return Command(
            [*arguments, *options],
            assembly=self.assembly,
            environment={"SALESFORCE_CLIENT_ID": CLIENT_ID, "SALESFORCE_CLIENT_SECRET": CLIENT_SECRET},
            directory=self.directory,
            kill=kill,
        )

    def note_settled(self) -> None:
        """Remember which rows are settled on disk: none of them may be sent from now on."""
        copy = self.directory / "copy"
        shutil.copytree(self.state_dir, copy)
        with StateDirectory(copy) as state:
            lanes = [partition_from(item) for _, item in state.items() if item["sk"]["S"].startswith("PART#")]
        shutil.rmtree(copy)
        keys = {str(row["ExternalId__c"]) for row in self.rows}
        self._settled |= {key for key in keys if any(_is_settled(key, lane) for lane in lanes)}

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"ExternalId__c": key} for key in (*expected_rows(SOURCE), *expected_rejects(SOURCE))]

    def check(self, finished: Command) -> None:
        """The last command has finished the run, and every row is where the account says."""
        assert finished.exit_code == 0, finished.errors
        summary = json.loads(finished.output.splitlines()[-1])
        assert summary["status"] == "Completed"
        rejects = expected_rejects(SOURCE)
        assert target_rows(self.org.backend) == expected_rows(SOURCE)
        assert summary["source_rows"] == len(expected_rows(SOURCE)) + len(rejects) + summary["skipped_null_key"]
        assert (summary["succeeded"], summary["rejected"]) == (len(expected_rows(SOURCE)), len(rejects))
        assert (summary["skipped_null_key"], summary["not_sent"], summary["unsettled"]) == (3, 0, 0)
        contents = [(self.directory / file).read_text(encoding="utf-8") for file in summary["rejected_files"]]
        kept = [row["External_ID__c"] for content in contents for row in csv.DictReader(io.StringIO(content))]
        assert sorted(kept) == sorted(rejects)
        assert self._sent_again == set()


def _keys_of(content: bytes) -> set[str]:
    return {row["External_ID__c"] for row in csv.DictReader(io.StringIO(content.decode()))}


def _is_settled(key: str, lane: Partition) -> bool:
    return (lane.after or "") < key <= (lane.cursor or "")


@pytest.fixture
def night(assembly: Path, tmp_path: Path) -> Iterator[Callable[[], Night]]:
    servers: list[OrgServer] = []
    numbers = count()

    def build() -> Night:
        settings = OrgSettings(source=SOURCE, time_scale=TIME_SCALE, faults=Faults.parse(FAULTS))
        servers.append(OrgServer(settings))
        servers[-1].start()
        directory = tmp_path / f"night-{next(numbers)}"
        directory.mkdir()
        return Night(servers[-1], assembly, directory)

    yield build
    for server in servers:
        server.stop()


def test_the_walk_kills_at_every_so_many_writes(night):
    walked = 0
    for write in count(1, STRIDE):
        moments = list(Moment) if STRIDE == 1 else [list(Moment)[walked % 2]]
        for moment in moments:
            one = night()
            killed = one.start(Kill(write, moment))
            assert killed.wait()
            if killed.exit_code == 0:  # it had ended before so many writes
                assert walked > 0
                return
            assert killed.exit_code == -9, killed.errors
            walked += 1
            _finish(one, f"write {write}, {moment.value}")


def test_kills_at_random_times_also_of_the_resuming_process(night):
    moments = random.Random(2026)
    one = night()
    command = one.start()
    for _ in range(KILLS):
        while "begins" not in command.errors and not command.wait(0.05):
            pass
        if command.wait(moments.uniform(0.0, 3.0)):
            break
        command.kill()
        one.note_settled()
        command = one.resume()
    assert command.wait()
    one.check(command)


def _finish(one: Night, where: str) -> None:
    one.note_settled()
    finished = one.resume() if _knows_a_run(one.state_dir) else one.start()
    assert finished.wait(), where
    one.check(finished)


def _knows_a_run(state_dir: Path) -> bool:
    """False where the process died before it had remembered what it was asked for."""
    with StateDirectory(state_dir) as state:
        return bool(state.documents())
