import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

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
def test_a_full_disk_is_still_told(monkeypatch):
    with FULL.open("w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(OSError, match="No space left"), lasting_output():
            sys.stdout.write("the account\n")


def test_a_stream_in_memory_stays_as_it_is(capsys):
    before = sys.stdout
    with lasting_output():
        assert sys.stdout is before
        sys.stdout.write("heard\n")
    assert capsys.readouterr().out == "heard\n"
