"""A process dies between any two side effects while a job is halved, and while its lane's circuit breaker trips."""

from collections.abc import Iterator
from contextlib import contextmanager

from local.org import generated_opportunities
from massive_upload.contracts import Verdict
from massive_upload.domain.load import Breaker, LaneBreaker
from massive_upload.domain.progress import RunStatus
from tests.integration.usecases.fuse import Killed
from tests.integration.usecases.kept_rows import account_of, recorded_account, rejected_rows
from tests.integration.usecases.world import RUN, World, open_world, paced
from tests.thoroughness import every

FATAL_ROWS = 4
FATAL_ROW = "OPP-0000002"
FATAL = f'- match: {{key: {FATAL_ROW}}}\n  action: {{job_fails: {{after_rows: 0, message: "InternalServerError : x"}}}}'


@contextmanager
def halving_world() -> Iterator[World]:
    """A row fails each of its jobs: they are halved, the lane's circuit breaker trips once, and resume goes on."""
    load = paced(batch_rows=FATAL_ROWS, retry_delays_seconds=())
    load = load.model_copy(update={"breaker": Breaker(lane=LaneBreaker(failed_jobs=2))})
    with open_world(source=generated_opportunities(FATAL_ROWS, rejected_share=0), faults=FATAL, load=load) as world:
        yield world


def resume_until_complete(world: World) -> list[Verdict]:
    """Each execution's verdict."""
    verdicts: list[Verdict] = []
    while world.run().status is not RunStatus.COMPLETED:
        verdict = world.execute({"mode": "resume", "run_id": RUN}, f"resumed-{len(verdicts)}")
        assert verdict is not None
        verdicts.append(verdict)
        assert len(verdicts) < 4
    return verdicts


def assert_halved(world: World) -> None:
    assert world.loaded_keys == world.keys_of() - {FATAL_ROW}
    assert [row["External_ID__c"] for row in rejected_rows(world)] == [FATAL_ROW]
    account = recorded_account(world)
    assert account.balances
    assert (account.source_rows, account.succeeded, account.rejected) == (FATAL_ROWS, FATAL_ROWS - 1, 1)


def effects_of_halving() -> int:
    with halving_world() as world:
        first = world.execute()
        assert first is not None
        assert (world.partition().error, first.not_sent) == ("BreakerTripped", FATAL_ROWS)
        resume_until_complete(world)
        assert_halved(world)
        assert world.jobs == {"Failed": 3, "JobComplete": 2}
        return world.fuse.effects


def test_a_task_that_died_while_a_job_was_halved_is_tried_again():
    for effects in every(37, range(3, effects_of_halving() + 1)):
        with halving_world() as world:
            world.after(effects)
            world.execute()
            resume_until_complete(world)
            assert world.fuse.has_blown
            assert_halved(world)


def test_an_execution_that_died_while_a_job_was_halved_is_finished_and_resumed():
    for effects in every(43, range(8, effects_of_halving() + 1)):
        with halving_world() as world:
            world.after(effects)
            world.fuse.error = Killed
            names = iter([RUN, *(f"again-{number}" for number in range(4))])
            start: dict[str, object] = {"load": "opportunity"}
            try:
                while world.store.run(RUN) is None or world.run().status is not RunStatus.COMPLETED:
                    name = next(names)
                    world.execute(start, name)
                    start = {"mode": "resume", "run_id": RUN}
            except Killed:
                verdict = world.abort(name)
                classes = account_of(verdict)
                assert classes.balances
            assert world.fuse.has_blown
            resume_until_complete(world)
            assert_halved(world)
