import errno
from pathlib import Path

import pytest
import typer

from cli.errors import ExitCode, RunRefused, UsageMistake, errors_as_exit_codes, exit_code_of
from massive_upload.domain.progress import RunStatus
from massive_upload.errors import ConfigurationError, FinalError, InvalidLoad, RunError, RunNotResumable, error_names


@pytest.mark.parametrize(
    ("status", "error", "was_planned", "code"),
    [
        (RunStatus.COMPLETED, None, True, ExitCode.OK),
        (RunStatus.STOPPED, None, True, ExitCode.STOPPED),
        (RunStatus.STOPPED, None, False, ExitCode.STOPPED),
        (RunStatus.PAUSED, None, True, ExitCode.STOPPED),
        (RunStatus.STOPPED, "RunStopped", True, ExitCode.STOPPED),
        (RunStatus.STOPPED, "RunStopped", False, ExitCode.STOPPED),
        (RunStatus.STOPPED, "ExecutionAborted", True, ExitCode.STOPPED),
        (RunStatus.COMPLETED, "RunStopped", True, ExitCode.STOPPED),
        (RunStatus.COMPLETED, "SuccessRateBelowCriterion", True, ExitCode.CRITERION_NOT_MET),
        (RunStatus.FAILED, "PartitionsFailed", True, ExitCode.CRITERION_NOT_MET),
        (RunStatus.FAILED, "RunHalted", True, ExitCode.CRITERION_NOT_MET),
        (RunStatus.FAILED, "ExecutionTimedOut", True, ExitCode.CRITERION_NOT_MET),
        (RunStatus.FAILED, "ExecutionFailed", True, ExitCode.CRITERION_NOT_MET),
        (RunStatus.FAILED, "TargetRejected", False, ExitCode.WRONG_CONFIGURATION),
        (RunStatus.FAILED, "SalesforceUnavailable", False, ExitCode.WRONG_CONFIGURATION),
        (None, "CredentialsRejected", False, ExitCode.WRONG_CONFIGURATION),
        (RunStatus.STOPPED, "RunNotResumable", True, ExitCode.WRONG_CONFIGURATION),
        (RunStatus.PAUSED, "CredentialsRejected", True, ExitCode.WRONG_CONFIGURATION),
        (RunStatus.PAUSED, "OrgUnreachable", True, ExitCode.STOPPED),
        (RunStatus.STOPPED, "InternalError", True, ExitCode.INTERNAL_FAILURE),
        (RunStatus.FAILED, "InternalError", False, ExitCode.INTERNAL_FAILURE),
        (RunStatus.FAILED, "InternalError", True, ExitCode.INTERNAL_FAILURE),
        (RunStatus.FAILED, "AccountDoesNotBalance", True, ExitCode.INTERNAL_FAILURE),
        (RunStatus.FAILED, "KeyError", True, ExitCode.INTERNAL_FAILURE),
        (RunStatus.RUNNING, "States.Timeout", True, ExitCode.INTERNAL_FAILURE),
        (None, "Runtime.ExitError", False, ExitCode.INTERNAL_FAILURE),
    ],
)
def test_the_exit_status_says_what_kind_of_end_it_was(status, error, was_planned, code):
    assert exit_code_of(status=status, error=error, was_planned=was_planned) is code


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (UsageMistake("--x is wrong; write y"), ExitCode.WRONG_CONFIGURATION),
        (InvalidLoad("loads/a.yaml:3: wrong"), ExitCode.WRONG_CONFIGURATION),
        (RunNotResumable("There is no run 'x'."), ExitCode.WRONG_CONFIGURATION),
        (RunRefused("AnotherRunActive", "Run y is loading Opportunity."), ExitCode.WRONG_CONFIGURATION),
        (RunRefused("KeyError", "'x'"), ExitCode.INTERNAL_FAILURE),
        (OSError(errno.ENOSPC, "No space left on device"), ExitCode.WRONG_CONFIGURATION),
        (PermissionError(errno.EACCES, "Permission denied", "state/work"), ExitCode.WRONG_CONFIGURATION),
        (KeyboardInterrupt(), ExitCode.STOPPED),
        (typer.Exit(ExitCode.CRITERION_NOT_MET), ExitCode.CRITERION_NOT_MET),
    ],
)
def test_errors_become_one_line_and_an_exit_status(raised, code, capsys):
    with pytest.raises(typer.Exit) as ended, errors_as_exit_codes():
        raise raised

    assert ended.value.exit_code == code
    assert len(capsys.readouterr().err.splitlines()) == (0 if isinstance(raised, typer.Exit) else 1)


def test_the_document_tells_of_every_error_that_a_run_can_end_with():
    text = (Path(__file__).parents[3] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    final = {*error_names(FinalError)} - {ConfigurationError.__name__}
    assert [name for name in sorted({*RunError} | final) if f"`{name}`" not in text] == []


def test_a_pipe_that_breaks_is_a_defect(capsys):
    with pytest.raises(typer.Exit) as ended, errors_as_exit_codes():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    assert ended.value.exit_code == ExitCode.INTERNAL_FAILURE
    assert "This is a defect" in capsys.readouterr().err


def test_an_unexpected_error_leaves_its_trace_in_a_file_without_values_of_rows(capsys):
    def command() -> None:
        try:
            int("a value")
        except ValueError as error:
            raise RuntimeError("something odd") from error

    with pytest.raises(typer.Exit) as ended, errors_as_exit_codes():
        command()

    told = capsys.readouterr().err
    assert ended.value.exit_code == ExitCode.INTERNAL_FAILURE
    assert "Traceback" not in told
    path = Path(told.split()[-1])
    trace = path.read_text()
    path.unlink()
    assert trace.index("ValueError\n") < trace.index("RuntimeError: something odd")
    assert f"{__name__.rpartition('.')[2]}.py" in trace
    assert "a value'" not in told + trace


def test_control_sequences_of_what_went_wrong_are_spelt(capsys):
    with pytest.raises(typer.Exit), errors_as_exit_codes():
        raise UsageMistake("é: \x1b[2J\nsecond\xa0: é")

    assert capsys.readouterr().err.splitlines() == ["é: \\x1b[2J", "second\xa0: é"]
