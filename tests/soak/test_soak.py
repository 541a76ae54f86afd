"""Loads that meet an org which misbehaves in every way at once: the target holds what it should, row by row.

One seed belongs to `make test`, six to `make soak`. ``SOAK_SEEDS=1-40`` runs those instead, ``SOAK_ROWS=300000`` with
so many rows.
"""

import csv
import io
import json
import os
from collections.abc import Sequence

import pytest

from massive_upload.domain.file_keys import receipt_key
from tests.e2e.opportunities import expected_rejects, expected_rows, target_rows
from tests.integration.usecases.world import RUN, World, open_world
from tests.soak.mixture import draw
from tests.thoroughness import IS_SOAK

MOST_STATES = 200_000
"""Ends a load that would go on for ever."""
REASONS = {"STRING_TOO_LONG", "INVALID_FIELD", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"}


def seeds() -> Sequence[int]:
    first, _, last = os.environ.get("SOAK_SEEDS", "1-6" if IS_SOAK else "4").partition("-")
    return range(int(first), int(last or first) + 1)


def rejected_rows(world: World) -> list[dict[str, str]]:
    keys = json.loads(world.files.read(receipt_key(RUN)))["rejected_files"]
    return [row for key in keys for row in csv.DictReader(io.StringIO(world.files.read(key).decode(), newline=""))]


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", seeds())
def test_an_org_that_misbehaves_within_bounds_costs_no_row_and_no_person(seed: int) -> None:
    rows = os.environ.get("SOAK_ROWS")
    mixture = draw(seed, int(rows) if rows else None)
    with open_world(source=mixture.source, load=mixture.load, faults=mixture.faults, **mixture.settings) as world:
        world.slices.most_states = MOST_STATES
        verdict = world.execute()
        assert verdict is not None
        partitions = {each.partition: (each.status, each.error, each.cause) for each in world.store.partitions(RUN)}
        assert (verdict.next, verdict.status) == ("Succeed", "Completed"), (verdict, partitions, mixture.faults)

        expected, rejects = expected_rows(mixture.source), expected_rejects(mixture.source)
        world.mend_org()
        found = target_rows(world.server.backend)
        assert found.keys() == expected.keys()
        assert [key for key, row in expected.items() if found[key] != row] == []
        kept = rejected_rows(world)
        assert sorted(row["External_ID__c"] for row in kept) == sorted(rejects)
        assert {row["error_code"] for row in kept} <= REASONS
        assert json.loads(world.files.read(receipt_key(RUN)))["account"] == {
            "source_rows": mixture.source_rows,
            "succeeded": len(expected),
            "rejected": len(rejects),
            "not_sent": 0,
            "skipped_null_key": mixture.null_keys,
            "duplicates_dropped": mixture.dropped,
            "unsettled": 0,
        }
        assert set(world.jobs) <= {"JobComplete", "Failed", "Aborted", "Open"}
