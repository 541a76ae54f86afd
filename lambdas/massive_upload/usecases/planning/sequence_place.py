"""Where a run stands in a sequence of loads."""

from __future__ import annotations

from dataclasses import dataclass

from massive_upload.contracts import PlanSoFar, StartInput
from massive_upload.domain.load import LoadSequence, Schedule
from massive_upload.errors import InvalidInput


@dataclass(frozen=True)
class SequencePlace:
    """Where a run stands in a sequence of loads.

    Attributes:
        load: the name of its load; empty where the input names none.
        sequence: the names of all loads of its execution; none where it is no sequence.
        is_first: whether its execution has loaded nothing yet.
        following: the names of those that come after it.
        schedule: the sequence's; None where it has none.
    """

    load: str
    sequence: tuple[str, ...] = ()
    is_first: bool = True
    following: tuple[str, ...] = ()
    schedule: Schedule | None = None


def place_in_sequence(start: StartInput, so_far: PlanSoFar, sequence: LoadSequence | None) -> SequencePlace:
    """Where the run stands that an execution carries out next.

    Args:
        start: the execution's input.
        so_far: what the execution has carried out.
        sequence: what the input names; None where it is a load, or nothing.

    Raises:
        InvalidInput: it is to begin with a load that the sequence has not, or changes what is its loads' own.
    """
    loads = so_far.sequence or (_loads_of(sequence, start) if sequence is not None else ())
    if not loads:
        return _alone(start)
    return SequencePlace(
        load=loads[so_far.position],
        sequence=loads,
        is_first=so_far.position == 0,
        following=loads[so_far.position + 1 :],
        schedule=sequence.schedule if sequence is not None else None,
    )


def _alone(start: StartInput) -> SequencePlace:
    if start.start_with is not None:
        raise InvalidInput(
            "start_with is for a sequence of loads.", next_step="Name the sequence as load, or leave start_with out."
        )
    return SequencePlace(load=start.load or "")


def _loads_of(sequence: LoadSequence, start: StartInput) -> tuple[str, ...]:
    """The loads that an execution is to carry out of a sequence as it is deployed."""
    changes = start.given("pace", "partitioning", "sample")
    if changes:
        raise InvalidInput(
            f"{changes[0]} cannot be given for a sequence, as each of its loads has its own.",
            next_step=f"Leave {', '.join(changes)} out, or start one load.",
        )
    loads = sequence.sequence
    if start.start_with is not None:
        if start.start_with not in loads:
            raise InvalidInput(
                f"The sequence {sequence.name} has no load {start.start_with!r}.",
                next_step=f"It has {', '.join(loads)}.",
            )
        return loads[loads.index(start.start_with) :]
    return loads
