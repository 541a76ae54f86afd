"""Files that name a sequence of loads: what they compile to, and what is said of each mistake."""

from pathlib import Path

import pytest

from infra.config import load_directory, load_file, sequence_directory
from infra.synth import ROOT
from massive_upload.domain.load import LoadSequence
from massive_upload.errors import InvalidLoad

LOADS = load_directory(ROOT / "loads")


def compiled(directory: Path, text: str) -> dict[str, LoadSequence]:
    (directory / "nightly.yaml").write_text(text, encoding="utf-8")
    return sequence_directory(directory, LOADS)


def test_the_example_loads_accounts_before_their_opportunities():
    assert "nightly" not in LOADS
    assert sequence_directory(ROOT / "loads", LOADS)["nightly"].sequence == ("account", "opportunity")


def test_a_sequence_has_a_schedule_of_its_own(tmp_path):
    found = compiled(tmp_path, 'sequence: [account]\nschedule: {cron: "0 22 ? * * *", window: "22:00-06:00"}\n')
    schedule = found["nightly"].schedule
    assert schedule is not None
    assert (schedule.cron, schedule.window, schedule.mode) == ("0 22 ? * * *", "22:00-06:00", "full")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("sequence: [account, opportunty]", 1, "there is no load 'opportunty'; write opportunity"),
        ("sequence: [account, xxx]", 1, "the loads here are account, flights, opportunity"),
        ("sequence:\n- account\n- account", 3, "'account' comes twice"),
        ("sequence: [nightly]", 1, "there is no load 'nightly'"),
        ("sequence: []", 1, "is empty; write at least one"),
        ("sequence: [Accounts]", 1, "'Accounts' cannot be used here; write the name of a load"),
        ("sequence: [account]\nshedule: {}", 2, "write schedule (the keys here are sequence, schedule)"),
        ("sequence: [account]\nschedule: {cron: nightly}", 2, "schedule.cron"),
        (
            'sequence: [account]\nschedule: {cron: "0 22 ? * * *", mode: incremental}',
            1,
            "'account' has no source.modified",
        ),
    ],
)
def test_each_mistake_is_told_with_its_line(tmp_path, text, line, says):
    with pytest.raises(InvalidLoad) as refused:
        compiled(tmp_path, text + "\n")
    assert f"nightly.yaml:{line}: " in str(refused.value)
    assert says in str(refused.value)


def test_a_sequence_is_no_load(tmp_path):
    path = tmp_path / "nightly.yaml"
    path.write_text("sequence: [account]\n", encoding="utf-8")
    with pytest.raises(InvalidLoad, match="is a sequence of loads, not a load"):
        load_file(path)
