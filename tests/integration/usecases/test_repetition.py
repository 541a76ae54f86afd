"""The same task runs twice at the same time under one claim, as when an answer was lost: one of them wins."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from massive_upload.contracts import Next, SliceInput, Step
from massive_upload.errors import FencedOut, PassingError, StateChanged
from massive_upload.ports import ProgressStore
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.settle_batch import settle_batch
from massive_upload.usecases.slice_tasks import SliceServices
from massive_upload.usecases.upload_batch import upload_batch
from tests.integration.usecases.world import RUN, World, open_world, paced

Work = Callable[[SliceInput, SliceServices], Step]


class Interrupted:
    """A store in which something else happens just before a change is written, once."""

    def __init__(self, store: ProgressStore, change: str, happening: Callable[[], object]) -> None:
        self._store = store
        self._change = change
        self._happening = happening

    def __getattr__(self, name: str) -> Any:
        if name == self._change:
            self._change = ""
            self._happening()
        return getattr(self._store, name)


def interrupted(world: World, change: str, happening: Callable[[], object]) -> SliceServices:
    services = world.services
    return replace(services, store=cast("ProgressStore", Interrupted(services.store, change, happening)))


def before(work: Work, world: World) -> SliceInput:
    """A lane of which ``work`` is the next task."""
    task = world.start_lane()
    if work is not fetch_page:
        fetch_page(task, world.services)
    if work is settle_batch:
        return world.until_its_job_has_ended(task)
    return task


LOSERS = [
    (fetch_page, "plan_batch", Next.UPLOAD),
    (upload_batch, "record_job", Next.WAIT_FOR_JOB),
    (upload_batch, "record_submitted", Next.WAIT_FOR_JOB),
    (settle_batch, "settle_batch", Next.FETCH),
]


@pytest.mark.parametrize(("work", "change", "following"), LOSERS)
def test_the_slower_of_two_repetitions_is_told_to_look_again_and_finds_what_the_faster_recorded(
    work, change, following
):
    with open_world(load=paced()) as world:
        task = before(work, world)
        with pytest.raises(StateChanged) as raised:
            work(task, interrupted(world, change, lambda: work(task, world.services)))
        assert isinstance(raised.value, PassingError), "Step Functions tries the task again"
        assert work(task, world.services).next is following
        world.slices.run_lane(RUN, "0000")
        verdict = world.finish({})
        assert (verdict.status, verdict.succeeded, verdict.source_rows) == ("Completed", 30, 30)
        assert world.loaded_keys == world.keys_of()


@pytest.mark.parametrize(("work", "change", "following"), LOSERS)
def test_a_task_whose_partition_is_claimed_anew_in_the_middle_is_fenced_out(work, change, following):
    with open_world(load=paced()) as world:
        task = before(work, world)
        with pytest.raises(FencedOut):
            work(task, interrupted(world, change, lambda: world.slices.claim(RUN, "0000")))
        world.slices.run_lane(RUN, "0000")
        assert world.partition().succeeded == 30
