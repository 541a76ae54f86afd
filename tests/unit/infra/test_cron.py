"""Times of schedules: what EventBridge takes, and what is said of the rest."""

from pathlib import Path

import pytest

from infra.config import load_file
from infra.cron import cron_mistake, timezone_mistake
from massive_upload.errors import InvalidLoad
from tests.unit.infra.test_config import GOOD


@pytest.mark.parametrize(
    "cron",
    [
        "0 22 ? * MON-FRI *",
        "0/15 * * * ? *",
        "5,35 0-6/2 L * ? 2027-2030",
        "0 3 LW JAN,jul ? *",
        "0 3 15W * ? *",
        "0 3 31W * ? *",
        "0 3 ? * 2#1 *",
        "0 3 ? * FRIL *",
        "0 3 29 2 ? *",
        "0 3 31 2,3 ? *",
        "0 3 * * ? 2020-2028",
    ],
)
def test_cron_expressions_of_the_guide_are_taken(cron: str) -> None:
    assert cron_mistake(cron, this_year=2028) is None


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 22 * * *", "has 5 fields; write six"),
        ("60 22 ? * * *", "'60' is no minute"),
        ("0 24 ? * * *", "'24' is no hour"),
        ("0 22 0 * ? *", "'0' is no day of month"),
        ("0 22 0W * ? *", "'0W' is no day of month"),
        ("0 22 32W * ? *", "'32W' is no day of month"),
        ("0 \u0662\u0662 ? * * *", "'\u0662\u0662' is no hour"),
        ("0 22 ? 13 * *", "'13' is no month"),
        ("0 22 ? * MON-FRY *", "'MON-FRY' is no day of week"),
        ("0 22 ? * 0 *", "'0' is no day of week"),
        ("0 22 ? * * 1900", "'1900' is no year"),
        ("0/0 22 ? * * *", "'0/0' is no minute"),
        ("9-3 22 ? * * *", "'9-3' is no minute"),
        ("a 22 ? * * *", "'a' is no minute"),
        ("0 22 * * * *", "exactly one of day of month"),
        ("0 22 ? * ? *", "exactly one of day of month"),
        ("0 2 * * ? 2020", "'2020' is past, so it would never start; write a later year"),
        ("0 2 * * ? 2020-2027", "'2020-2027' is past"),
        ("0 22 31 2 ? *", "no month of '2' has a day 31"),
        ("0 22 31 4,6,SEP ? *", "no month of '4,6,SEP' has a day 31"),
    ],
)
def test_every_other_is_told_what_would_be_right(cron: str, said: str) -> None:
    assert said in str(cron_mistake(cron, this_year=2028))


def test_time_zones_are_those_of_the_iana_database() -> None:
    assert timezone_mistake("Europe/London") is timezone_mistake("UTC") is None
    assert "such as Europe/London" in str(timezone_mistake("Europe/Londn"))


def test_a_load_with_an_impossible_schedule_is_refused_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("opportunity.yaml")
    path.write_text(GOOD + "schedule:\n  cron: 0 22 ? * * 2020\n  timezone: UTC\n", encoding="utf-8")
    with pytest.raises(InvalidLoad, match=r"opportunity.yaml:11: schedule.cron: '2020' is past"):
        load_file(path)
    path.write_text(GOOD + "schedule:\n  cron: 0 25 ? * * *\n  timezone: Mars/Base\n", encoding="utf-8")
    with pytest.raises(InvalidLoad) as raised:
        load_file(path)
    first, second = str(raised.value).splitlines()
    assert first.startswith("opportunity.yaml:11: schedule.cron: '25' is no hour; write six fields")
    assert second.startswith("opportunity.yaml:12: schedule.timezone: 'Mars/Base' is no time zone")
