"""Any load, with anything that goes wrong within bounds, keeps the promise: no row is lost, none is misreported.

hypothesis draws loads, data, faults of the org and deaths of processes, and makes a failing example small. The examples
are the same at each `make test`; `make soak` draws new ones, SOAK_EXAMPLES of them.
"""

import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from local.org.errors import RowError
from local.org.records import Saved
from massive_upload.domain.progress import RunStatus
from massive_upload.errors import PassingError
from tests.e2e.opportunities import expected_rows, target_rows
from tests.integration.usecases.fuse import Killed
from tests.integration.usecases.kept_rows import recorded_account, rejected_rows
from tests.integration.usecases.slice_driver import Crash
from tests.integration.usecases.trials import TRIALS, Trial
from tests.integration.usecases.troubled import assert_no_job_in_flight
from tests.integration.usecases.witness import KEY, Witness, keys_of, reasons_of, rows_of
from tests.integration.usecases.world import World, open_world
from tests.thoroughness import IS_ONE_FAILURE_ENOUGH, IS_SOAK

EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "1000" if IS_SOAK else "8"))
MOST_EXECUTIONS = 12
TROUBLED_EXECUTIONS = 6


@pytest.mark.timeout(0 if IS_SOAK else 900)
@settings(
    max_examples=EXAMPLES,
    derandomize=not IS_SOAK,
    database=None,
    print_blob=True,
    phases=[Phase.generate] if IS_ONE_FAILURE_ENOUGH else [Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(TRIALS)
def test_any_load_keeps_the_promise(trial: Trial):
    source = trial.data.source()
    with open_world(
        source=source,
        load=trial.load(),
        faults=trial.faults_file,
        page_rows=trial.page_rows,
        query_running_seconds=trial.query_running_seconds,
        query_kept_seconds=trial.query_kept_seconds,
    ) as world:
        witness = Witness(world)
        run_id = carry_out(world, witness, trial)
        assert witness.violations == []
        expected = expected_rows_of_all(trial)
        assert_promise(world, witness, run_id, expected)
        account = recorded_account(world, run_id)
        data = trial.data
        repeated = min(data.duplicate_keys, data.rows) + min(data.case_collisions, data.rows)
        assert account.source_rows == data.rows + data.null_keys + repeated
        assert (account.skipped_null_key, account.duplicates_dropped) == (data.null_keys, repeated)


def carry_out(world: World, witness: Witness, trial: Trial) -> str:
    """Start, and resume whatever has ended too early, as an operator does: the id of the run that completed."""
    world.slices.repetition.lag = trial.lag
    world.fuse.following = [(death.effects, death.error) for death in trial.deaths]
    world.fuse.arm()
    finished = [death.is_finished for death in trial.deaths if death.is_execution]
    run_id = ""
    for number in range(MOST_EXECUTIONS):
        if number == TROUBLED_EXECUTIONS:
            world.mend_org()
        name = f"run-{number}"
        run = world.store.run(run_id)
        is_planned = run is not None and run.plan_name is not None
        run_id = run_id if is_planned else name
        witness.follow(run_id)
        start = {"mode": "resume", "run_id": run_id} if is_planned else {"load": world.load.name}
        try:
            verdict = world.execute(start, name)
            note(f"{name}: {verdict and (verdict.status, verdict.error)}")
        except Killed:
            world.executions.end(name)
            if finished.pop(0):
                with suppress(Crash, Killed, PassingError):
                    world.finish({"input": {"run_id": run_id}}, name, ended="ABORTED")
        except (Crash, PassingError):
            world.executions.end(name, "FAILED")  # FinishRun's retries are used up
        with suppress(Crash, Killed):
            world.slices.repetition.flush()
        run = world.store.run(run_id)
        if run is not None and run.status is RunStatus.COMPLETED:
            return run_id
    raise AssertionError(f"The run has not completed after {MOST_EXECUTIONS} executions: {world.store.run(run_id)}")


def expected_rows_of_all(trial: Trial) -> dict[str, dict[str, object]]:
    """What the target would hold if it refused nothing: of every key the newest row."""
    return expected_rows(trial.data.source(), refused_sql="false")


def assert_promise(world: World, witness: Witness, run_id: str, expected: dict[str, dict[str, object]]) -> None:
    """Every row of the source is in the target as it was, or among the rejected with the reason the org gave."""
    rejected = rejected_rows(world, run_id)
    reasons = reasons_of(rejected)
    assert len(reasons) == len(rejected), "a row is kept as rejected more than once"
    found = target_rows(world.server.backend)
    assert found.keys() | reasons.keys() == expected.keys()
    for key, row in found.items():
        assert row == expected[key]
    for key in expected:
        outcome = witness.outcome_of(key)
        if key not in reasons:
            assert isinstance(outcome, Saved), key
        elif isinstance(outcome, RowError):
            assert reasons[key] == outcome.code
        else:
            assert outcome is None
            assert reasons[key] == witness.code_of_untried(key)
    account = recorded_account(world, run_id)
    assert account.balances
    assert (account.not_sent, account.unsettled) == (0, 0)
    assert (account.succeeded, account.rejected) == (len(expected) - len(reasons), len(reasons))
    assert_no_job_in_flight(world)


def test_the_witness_sees_a_row_that_is_sent_again():
    with open_world() as world:
        witness = Witness(world)
        witness.follow("run-1")
        world.execute()
        assert witness.violations == []
        (job,) = witness.closed_jobs
        assert len(keys_of(job.content or b"")) == len(rows_of(job.content or b"")) == 30
        witness._note_closed(job)
        assert "sends" in witness.violations[0]
        assert KEY == "External_ID__c"
