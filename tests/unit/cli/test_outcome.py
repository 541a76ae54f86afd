"""What a person is told to do next, by how a run ended."""

from typing import Any

import pytest

from cli.errors import ExitCode
from cli.outcome import Advice, rejected_advice, tell_outcome
from cli.summary import NO_ACCOUNT, RunFacts
from massive_upload.domain.progress import PartitionStatus, RunStatus
from tests.unit.cli.progress_examples import STARTED_AT, a_partition, a_run

ADVICE = Advice(unfinished="RESUME", rejected="RETRY", defect="REPORT")


def the_facts(**changes: Any) -> RunFacts:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "load_name": "opportunity",
        "mode": "full",
        "run": a_run(),
        "partitions": [],
        "account": NO_ACCOUNT,
        "cause": "why",
        "started_at": STARTED_AT,
        "ended_at": STARTED_AT,
        "out": "out",
    }
    return RunFacts(**(values | changes))


@pytest.mark.parametrize(
    ("status", "error", "code", "told"),
    [
        (RunStatus.COMPLETED, None, ExitCode.OK, ""),
        (RunStatus.COMPLETED, "SuccessRateBelowCriterion", ExitCode.CRITERION_NOT_MET, "RETRY\n"),
        (RunStatus.COMPLETED, "RunStopped", ExitCode.STOPPED, ""),
        (RunStatus.PAUSED, None, ExitCode.STOPPED, "RESUME\n"),
        (RunStatus.FAILED, "PartitionsFailed", ExitCode.CRITERION_NOT_MET, "RESUME\n"),
        (RunStatus.FAILED, "AccountDoesNotBalance", ExitCode.INTERNAL_FAILURE, "REPORT\n"),
        (RunStatus.STOPPED, "RunNotResumable", ExitCode.WRONG_CONFIGURATION, ""),
        (RunStatus.FAILED, "RunNotResumable", ExitCode.WRONG_CONFIGURATION, ""),
    ],
)
def test_the_next_step_is_one_that_the_run_still_allows(status, error, code, told, capsys):
    assert tell_outcome(the_facts(status=status, error=error), ADVICE, as_json=True) is code
    assert capsys.readouterr().err.endswith(f"{error}: why\n{told}" if error else told)


def test_what_ended_a_lane_before_is_not_told_where_the_run_cannot_be_resumed(capsys):
    lanes = [a_partition(status=PartitionStatus.FAILED, error="OrgUnreachable", cause="Resume the run.")]
    facts = the_facts(status=RunStatus.FAILED, error="RunNotResumable", partitions=lanes)
    tell_outcome(facts, ADVICE, as_json=True)
    assert capsys.readouterr().err.endswith("RunNotResumable: why\n")


def test_rejected_rows_are_looked_at_and_sent_once_more():
    advice = rejected_advice("run-1", lambda *words: " ".join(["massive-upload", *words, "--stack", "B"]))

    assert "massive-upload failures run-1 --stack B\n" in advice
    assert advice.endswith("massive-upload retry-failed run-1 --stack B")
