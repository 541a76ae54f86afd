import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from rich.console import Console

from cli.errors import ExitCode, errors_as_exit_codes
from cli.output import lasting_output

FULL = Path("/dev/full")


@pytest.mark.parametrize("opened", [os.pipe, os.openpty], ids=["pipe", "terminal"])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_nobody_can_read_any_more_is_dropped(opened: Callable[[], tuple[int, int]], name, monkeypatch):
    reader, writer = opened()
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, name, stream)
        with lasting_output():
            print("read", file=getattr(sys, name), flush=True)
            assert os.read(reader, 100).split() == [b"read"]
            os.close(reader)
            for _ in range(2):
                Console(stderr=name == "stderr").print("not read")
                print("not read", file=getattr(sys, name))
        assert getattr(sys, name) is stream
        print("not read after it either", file=stream, flush=True)


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (None, ExitCode.FILES_NOT_WRITTEN),
        (ExitCode.OK, ExitCode.FILES_NOT_WRITTEN),
        (ExitCode.CRITERION_NOT_MET, ExitCode.CRITERION_NOT_MET),
    ],
)
def test_what_a_full_disk_does_not_take_is_told_once_and_by_the_status(ended, code, monkeypatch, capsys):

    def command() -> None:
        sys.stdout.write("the account\n")
        sys.stdout.write("what is still in memory at the end")
        if ended is not None:
            raise typer.Exit(ended)

    with FULL.open("w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(typer.Exit) as exited, lasting_output(), errors_as_exit_codes():
            command()
    assert exited.value.exit_code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert "The output cannot be written (No space left on device)" in line


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
def test_messages_that_a_full_disk_does_not_take_are_told_by_the_status(monkeypatch):
    with FULL.open("w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(typer.Exit) as exited, lasting_output():
            sys.stderr.write("a message\n")
    assert exited.value.exit_code == ExitCode.FILES_NOT_WRITTEN


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_what_the_shell_has_closed_is_not_taken_by_another_file(closed, tmp_path):
    script = (
        "import os, subprocess, sys, cli.output\n"
        "cli.output.open_standard_streams()\n"
        "print('out'); print('err', file=sys.stderr)\n"
        "subprocess.run([sys.executable, '-c', 'import sys; sys.stdout.flush(); sys.stderr.flush()'], check=True)\n"
        "with open(sys.argv[1], 'w') as file: os.write(file.fileno(), b'%d' % file.fileno())\n"
    )
    command = f'"$1" -c "$2" "$3" {closed}'
    subprocess.run(["bash", "-c", command, "bash", sys.executable, script, str(tmp_path / "file")], check=True)
    assert int((tmp_path / "file").read_text()) > 2


def test_a_stream_in_memory_stays_as_it_is(capsys):
    before = sys.stdout
    with lasting_output():
        assert sys.stdout is before
        sys.stdout.write("heard\n")
    assert capsys.readouterr().out == "heard\n"
