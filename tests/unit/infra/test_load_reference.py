"""docs/load.md names every key that a load's file may have, with what counts if it is left out."""

import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from infra.config import model_of
from infra.synth import ROOT
from massive_upload.domain.load import FieldMapping, Load, Pace
from massive_upload.domain.presets import PACE, PARENT_PACE, LockRisk, lanes_for

TEXT = (ROOT / "docs" / "load.md").read_text(encoding="utf-8")
KEYS = dict(re.findall(r"^\| `([a-z_.<>]+)` \| ([^|]+) \| [^|]+ \|$", TEXT, re.MULTILINE))
"""What counts by key; tables of other things have four columns."""
BY_LOCK_RISK = "by the lock risk"


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if (model, name) == (Load, "name"):
            continue
        if (model, name) == (Load, "fields"):
            yield name, field
            yield from keys(FieldMapping, "fields.<column>.")
            continue
        if (model, name) == (Load, "pace"):
            yield from keys(Pace, "pace.")
            continue
        group = model_of(field.annotation)
        if group is None:
            yield f"{prefix}{name}", field
        else:
            yield from keys(group, f"{prefix}{name}.")


def test_it_names_every_key_and_no_other():
    assert sorted(KEYS) == sorted(name for name, _ in keys(Load))


@pytest.mark.parametrize(("name", "field"), [pytest.param(*each, id=each[0]) for each in keys(Load)])
def test_it_says_what_counts_where_a_key_is_left_out(name: str, field: FieldInfo):
    if name == "pace.retry_delays_seconds":
        presets = {Pace.model_validate(preset).retry_delays_seconds for preset in (*PACE.values(), PARENT_PACE)}
        assert {KEYS[name]} == {f"`{list(delays)}`" for delays in presets}
    elif field.is_required():
        assert KEYS[name] == (BY_LOCK_RISK if name.startswith("pace.") else "required")
    elif isinstance(field.default, bool):
        assert KEYS[name] == f"`{str(field.default).lower()}`"
    elif isinstance(field.default, int | float):
        assert KEYS[name] == f"{field.default:,g}"
    elif field.default is not None:
        assert KEYS[name] == f"`{field.default}`"


@pytest.mark.parametrize(
    ("name", "pace"), [*((f"`{risk}`", pace) for risk, pace in PACE.items()), ("lanes of parents", PARENT_PACE)]
)
def test_it_has_the_presets_of_the_pace(name: str, pace: dict[str, object]):
    assert f"\n| {name} | {pace['batch_rows']:,} | {pace['delay_seconds']} | {pace['stagger_seconds']:,} |\n" in TEXT


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ("below 100,000", (1, 99_999)),
        ("up to 500,000", (100_000, 500_000)),
        ("up to 1 million", (500_001, 1_000_000)),
        ("up to 2 million", (1_000_001, 2_000_000)),
        ("up to 5 million", (2_000_001, 5_000_000)),
        ("up to 10 million", (5_000_001, 10_000_000)),
    ],
)
def test_it_has_the_number_of_lanes_by_the_volume(words: str, rows: tuple[int, int]):
    for each in rows:
        lanes = [lanes_for(each, risk) for risk in (LockRisk.LOW, LockRisk.MEDIUM, LockRisk.HIGH)]
        assert f"\n| {words} | {' | '.join(map(str, lanes))} |\n" in TEXT
