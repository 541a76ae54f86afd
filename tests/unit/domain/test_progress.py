from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from massive_upload.domain.progress import (
    BATCH_TRANSITIONS,
    PARTITION_TRANSITIONS,
    RUN_TRANSITIONS,
    BatchState,
    PartitionStatus,
    RunStatus,
    sources_of,
)


def test_every_state_has_its_transitions():
    assert set(RUN_TRANSITIONS) == set(RunStatus)
    assert set(PARTITION_TRANSITIONS) == set(PartitionStatus)
    assert set(BATCH_TRANSITIONS) == set(BatchState)


def test_nothing_leads_out_of_a_completed_run_or_a_settled_batch():
    assert not RUN_TRANSITIONS[RunStatus.COMPLETED]
    assert not BATCH_TRANSITIONS[BatchState.SETTLED]


def test_every_state_can_be_reached_from_the_first():
    tables: list[tuple[Mapping[Any, frozenset[Any]], StrEnum]] = [
        (RUN_TRANSITIONS, RunStatus.PLANNING),
        (PARTITION_TRANSITIONS, PartitionStatus.PENDING),
        (BATCH_TRANSITIONS, BatchState.PLANNED),
    ]
    for transitions, first in tables:
        reached: set[object] = {first}
        for _ in transitions:
            reached |= {target for source in transitions if source in reached for target in transitions[source]}
        assert reached == set(transitions)


def test_sources_and_targets_are_the_same_pairs():
    for target in BatchState:
        for source in BatchState:
            assert (source in sources_of(BATCH_TRANSITIONS, target)) == (target in BATCH_TRANSITIONS[source])
