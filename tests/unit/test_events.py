"""The files of events/: each is what it says, and each does its work against moto and the simulated org."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from infra.config import load_directory
from infra.synth import ROOT
from massive_upload.contracts import (
    CheckPatienceInput,
    FinishRunInput,
    Next,
    PlanRunInput,
    PlanSweepInput,
    SliceInput,
    StartInput,
    WatchdogInput,
)
from massive_upload.domain.load import LoadSequence
from massive_upload.domain.presets import SWEEP_RETRY_DELAYS_SECONDS
from massive_upload.usecases.check_job import check_job
from massive_upload.usecases.check_patience import check_patience
from massive_upload.usecases.fetch_page import fetch_page
from massive_upload.usecases.finish_run import finish_run
from massive_upload.usecases.plan_run import plan_run
from massive_upload.usecases.plan_sweep import plan_sweep
from massive_upload.usecases.planning.request import PlanServices
from massive_upload.usecases.settle_batch import settle_batch
from massive_upload.usecases.upload_batch import upload_batch
from massive_upload.usecases.watch_runs import watch_runs
from tests.integration.usecases.world import World, WorldClock, open_world, paced

EVENTS = Path(__file__).parents[2] / "events"
STARTS = sorted(path.stem for path in EVENTS.glob("load_*.json"))
CONTRACTS: dict[str, type[BaseModel]] = {
    "plan_run": PlanRunInput,
    "fetch_page": SliceInput,
    "upload_batch": SliceInput,
    "check_job": SliceInput,
    "settle_batch": SliceInput,
    "check_patience": CheckPatienceInput,
    "plan_sweep": PlanSweepInput,
    "finish_run": FinishRunInput,
    "watchdog": WatchdogInput,
}
RUN = "opportunity-2026-01-31"


_LATER = ("resume", "retry_failed", "incremental")
"""Modes that need a run to go on from."""


def load_event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return event


@pytest.fixture
def world() -> Iterator[World]:
    with open_world(load=paced(batch_rows=30)) as world:
        yield world


def test_there_is_no_event_but_the_starts_and_one_for_each_task():
    assert {path.stem for path in EVENTS.iterdir()} == {*STARTS, *CONTRACTS}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_an_input_of_the_load_machine(name):
    StartInput.model_validate(load_event(name))


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_tasks_event_is_its_contracts(name):
    CONTRACTS[name].model_validate(load_event(name))


@pytest.mark.parametrize("name", [name for name in STARTS if load_event(name).get("mode") not in _LATER])
def test_a_start_runs(world, name):
    world.loads = {"account": load_directory(ROOT / "loads")["account"]}
    world.sequences = {"nightly": LoadSequence(name="nightly", sequence=("account", "opportunity"))}
    verdict = world.execute(load_event(name), RUN)
    assert verdict is not None
    run_id = f"{RUN}.opportunity" if name == "load_sequence" else RUN
    assert (verdict.next, verdict.run_id, verdict.status) == ("Succeed", run_id, "Completed")
    assert verdict.succeeded == (0 if name == "load_plan" else 30)


@pytest.mark.parametrize("name", [name for name in STARTS if load_event(name).get("mode") == "resume"])
def test_a_start_that_resumes_goes_on_with_the_run_that_it_names(world, name):
    world.plan({**load_event("load_full"), "partitioning": {"count": 8}}, RUN)
    world.abort(RUN, RUN)
    plan = world.plan(load_event(name), "again")
    partitions = load_event(name).get("partitions", range(8))
    assert [lane.partition for lane in plan.lanes] == [f"{index:04d}" for index in partitions]


def test_a_start_that_is_incremental_goes_on_from_the_last_complete_run(world):
    world.execute(load_event("load_full"), RUN)
    verdict = world.execute(load_event("load_incremental"), "again")
    assert verdict is not None
    assert (verdict.status, verdict.error) == ("Completed", "")
    assert 0 < verdict.source_rows < 30, "the rows of the overlap"


def test_a_start_that_retries_takes_up_the_rows_of_the_run_and_the_code_that_it_names():
    event = load_event("load_retry_failed")
    failures = f"{{row_failures: {{share: 1, code: {event['only']}}}}}"
    tries = 1 + 1 + len(SWEEP_RETRY_DELAYS_SECONDS)
    faults = [f"- match: {{object: Opportunity, nth: {nth}}}\n  action: {failures}\n" for nth in range(1, tries + 1)]
    with open_world(load=paced(batch_rows=30, retry_delays_seconds=()), faults="".join(faults)) as world:
        world.execute(load_event("load_full"), RUN)
        verdict = world.execute(event, "again")
        assert verdict is not None
        assert (verdict.status, verdict.source_rows, verdict.succeeded) == ("Completed", 30, 30)


def test_the_tasks_events_tell_the_story_of_a_run(world):
    def task(name: str) -> SliceInput:
        return SliceInput.model_validate(load_event(name))

    clock = WorldClock(world.clock)
    services = PlanServices(
        tasks=world.services,
        executions=world.executions,
        load_named=lambda name: world.load,
        sequence_named=lambda _: None,
    )
    assert plan_run(PlanRunInput.model_validate(load_event("plan_run")), services).run_id == RUN
    world.slices.claim(RUN, "0000")
    busy = CheckPatienceInput.model_validate(load_event("check_patience"))
    patience = check_patience(busy, world.services.store, world.services.configs)
    assert patience.next is Next.WAIT_FOR_ORG
    assert fetch_page(task("fetch_page"), world.services).next is Next.UPLOAD
    assert upload_batch(task("upload_batch"), world.services).next is Next.WAIT_FOR_JOB
    world.wait(1000)
    assert check_job(task("check_job"), world.services).next is Next.SETTLE
    assert settle_batch(task("settle_batch"), world.services).next in (Next.DONE, Next.FETCH)
    assert not plan_sweep(load_event("plan_sweep")["run_id"], world.services.store, world.services.files).needed
    WatchdogInput.model_validate(load_event("watchdog"))
    assert watch_runs(world.store, world.executions, clock, lambda run, ended: None).open_runs == 1
    verdict = finish_run(FinishRunInput.model_validate(load_event("finish_run")), world.services)
    assert verdict.run_id == RUN
    assert verdict.succeeded > 0
    assert verdict.source_rows == 30
