"""The rendered state machines."""

import itertools
from typing import Any

import pytest

from infra.functions import FUNCTIONS
from massive_upload import errors
from massive_upload.constants import LONG_WAIT_SECONDS, SLICE_EVENTS, SWEEP_PARTITION
from massive_upload.contracts import Lane, Next, Plan, Step, Verdict
from massive_upload.domain import waits
from massive_upload.domain.load import Pace
from massive_upload.domain.presets import PACE, PATIENCE_SECONDS
from massive_upload.usecases.lost_jobs import MOST_LOST_JOBS
from massive_upload.usecases.planning.lane_plan import LONGEST_STAGGER_SECONDS
from tests.infra.definitions import Definition, State, history_events, iterate_states, retry_events, visit_events

ORG_RETRY = {
    "ErrorEquals": [
        "SalesforceUnavailable",
        "SalesforceBusy",
        "SessionExpired",
        "QuotaExhausted",
        "RequestQuotaExhausted",
        "BatchQuotaExhausted",
        "StorageUnavailable",
        "StateChanged",
    ],
    "IntervalSeconds": 2,
    "BackoffRate": 2.5,
    "MaxAttempts": 3,
    "MaxDelaySeconds": 10,
    "JitterStrategy": "NONE",
}
LOAD_TASKS = ["PlanRun", "PlanSweep", "FinishRun"]
WORKING_TASKS = ["FetchPage", "UploadBatch", "CheckJob", "SettleBatch"]


@pytest.fixture(scope="module")
def states(load_machine: Definition, slice_machine: Definition) -> dict[str, State]:
    return {state.name: state for machine in (load_machine, slice_machine) for state in iterate_states(machine)}


def tasks(states: dict[str, State]) -> list[State]:
    return [state for state in states.values() if state.body["Type"] == "Task"]


def lambda_tasks(states: dict[str, State]) -> list[State]:
    return [state for state in tasks(states) if "${Functions" in state.body["Resource"]]


def delays_seconds(retrier: dict[str, Any]) -> list[float]:
    """The waits before each retry, as the Amazon States Language defines them."""
    growing = (
        retrier["IntervalSeconds"] * retrier["BackoffRate"] ** attempt for attempt in range(retrier["MaxAttempts"])
    )
    return [min(delay, retrier["MaxDelaySeconds"]) for delay in growing]


def test_every_way_leads_to_a_state_of_the_same_level(states: dict[str, State]) -> None:
    for state in states.values():
        assert state.targets <= state.siblings, state.name


def test_every_state_can_be_reached(load_machine: Definition, slice_machine: Definition) -> None:
    lane = load_machine["States"]["LoadPartitions"]["ItemProcessor"]
    for machine in (load_machine, lane, slice_machine):
        by_name = {state.name: state for state in iterate_states(machine) if state.name in machine["States"]}
        reached, pending = set[str](), [machine["StartAt"]]
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                pending += by_name[name].targets
        assert reached == set(machine["States"])


def test_every_function_but_the_watchdog_is_called_by_the_state_of_its_name(states: dict[str, State]) -> None:
    called = {state.name for state in lambda_tasks(states)}
    assert called == {spec.name for spec in FUNCTIONS} - {"Watchdog"}
    for state in lambda_tasks(states):
        assert state.body["Resource"].startswith(f"${{Functions{state.name}")


def test_a_task_outlives_the_function_that_it_calls(states: dict[str, State]) -> None:
    timeouts = {spec.name: spec.timeout_seconds for spec in FUNCTIONS}
    for state in lambda_tasks(states):
        assert state.body["TimeoutSeconds"] > timeouts[state.name], state.name


def test_every_task_and_machine_has_a_timeout(
    states: dict[str, State], load_machine: Definition, slice_machine: Definition
) -> None:
    assert all("TimeoutSeconds" in state.body for state in tasks(states))
    assert load_machine["TimeoutSeconds"] == 30 * 86_400
    assert slice_machine["TimeoutSeconds"] == 9 * 86_400


def test_a_slice_that_only_waits_yields_before_its_time_is_up(slice_machine: Definition) -> None:
    """Its waits are of ten minutes at most; a visit that waits has the fewest events where it does nothing else."""
    fewest = min(waits.FETCH_EVENTS + waits.WAIT_EVENTS, waits.POLL_EVENTS, waits.PAUSE_EVENTS)
    a_day_for_its_tasks = 24 * 3600
    waited_seconds = LONG_WAIT_SECONDS * SLICE_EVENTS // fewest
    assert waited_seconds + a_day_for_its_tasks < slice_machine["TimeoutSeconds"]


def test_a_slice_ends_before_the_tasks_that_wait_for_it(states: dict[str, State], slice_machine: Definition) -> None:
    for name in ("RunSlice", "Sweep"):
        assert states[name].body["TimeoutSeconds"] > slice_machine["TimeoutSeconds"]


def retrier_of(state: State, error: str) -> dict[str, Any]:
    """The one that decides: the first that names the error (Amazon States Language, "Retrier")."""
    found: dict[str, Any] = next(each for each in state.body["Retry"] if error in each["ErrorEquals"])
    return found


def lasts_as_long_as_patience(retrier: dict[str, Any]) -> bool:
    """Whether it goes on for about a load's default patience, and may be awaited at ten minutes' notice."""
    delays = delays_seconds(retrier)
    assert (delays[0], delays[-1], retrier["JitterStrategy"]) == (5, LONG_WAIT_SECONDS, "FULL")
    return PATIENCE_SECONDS <= sum(delays) / 2 < PATIENCE_SECONDS + LONG_WAIT_SECONDS


@pytest.mark.parametrize("name", [*WORKING_TASKS, *LOAD_TASKS])
def test_passing_errors_of_the_org_are_retried_after_exactly_2_5_and_10_seconds(
    states: dict[str, State], name: str
) -> None:
    for error in errors.ORG_NOT_READY:
        assert retrier_of(states[name], error.__name__) == ORG_RETRY
    assert delays_seconds(ORG_RETRY) == [2, 5, 10]


@pytest.mark.parametrize("name", [*WORKING_TASKS, *LOAD_TASKS])
@pytest.mark.parametrize(
    "error", ["Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory", "States.Timeout"]
)
def test_a_call_that_was_killed_is_tried_six_times_more(states: dict[str, State], name: str, error: str) -> None:
    retrier = retrier_of(states[name], error)
    assert retrier["JitterStrategy"] == "FULL"
    assert delays_seconds(retrier) == [2, 4, 8, 16, 32, 60]


@pytest.mark.parametrize("name", WORKING_TASKS)
def test_a_task_of_a_slice_leaves_long_outages_of_aws_to_check_patience(states: dict[str, State], name: str) -> None:
    assert delays_seconds(retrier_of(states[name], "StorageUnavailable")) == [2, 5, 10]
    assert sum(delays_seconds(retrier_of(states[name], "Lambda.ServiceException"))) == 122


def test_check_patience_is_retried_for_about_the_default_patience_as_nobody_has_patience_with_it(
    states: dict[str, State],
) -> None:
    (retrier,) = states["CheckPatience"].body["Retry"]
    assert retrier["ErrorEquals"] == states["FetchPage"].body["Catch"][1]["ErrorEquals"]
    assert lasts_as_long_as_patience(retrier)


@pytest.mark.parametrize("error", ["StorageUnavailable", "Lambda.ServiceException", "Lambda.TooManyRequestsException"])
@pytest.mark.parametrize("name", LOAD_TASKS)
def test_an_outage_of_aws_ends_no_run_where_it_is_planned_swept_or_finished(
    states: dict[str, State], name: str, error: str
) -> None:
    assert lasts_as_long_as_patience(retrier_of(states[name], error))


def test_an_outage_of_aws_ends_no_lane_between_two_slices(states: dict[str, State]) -> None:
    native = [state for state in tasks(states) if ":dynamodb:" in state.body["Resource"]]
    assert {state.name for state in native} == {"LookAtRun", "ClaimPartition", "RecordFailure", "MarkPartitionFailed"}
    for state in native:
        for error in ("DynamoDB.InternalServerError", "DynamoDB.TransactionConflictException"):
            assert lasts_as_long_as_patience(retrier_of(state, error)), state.name
    for name in ("RunSlice", "Sweep"):
        assert lasts_as_long_as_patience(retrier_of(states[name], "StepFunctions.AWSStepFunctionsException"))


def test_every_task_is_retried_and_never_for_any_error(states: dict[str, State]) -> None:
    for state in tasks(states):
        names = list(itertools.chain.from_iterable(retrier["ErrorEquals"] for retrier in state.body["Retry"]))
        assert names
        assert "States.ALL" not in names
        assert not set(names) & set(errors.error_names(errors.FinalError)), state.name


def test_a_failed_condition_is_never_retried(states: dict[str, State]) -> None:
    native = [state for state in tasks(states) if ":dynamodb:" in state.body["Resource"]]
    assert len(native) == 4
    for state in native:
        names = {name for retrier in state.body["Retry"] for name in retrier["ErrorEquals"]}
        assert "DynamoDB.ConditionalCheckFailedException" not in names
        assert "States.TaskFailed" not in names


@pytest.mark.parametrize("name", WORKING_TASKS)
def test_errors_of_a_slice_are_caught_in_order(states: dict[str, State], name: str) -> None:
    fenced, passing, rest = states[name].body["Catch"]
    assert (fenced["ErrorEquals"], fenced["Next"]) == (["FencedOut"], "SliceFenced")
    assert passing["Next"] == "CheckPatience"
    retried = [error for retrier in states[name].body["Retry"] for error in retrier["ErrorEquals"]]
    assert passing["ErrorEquals"] == retried
    assert (rest["ErrorEquals"], rest["Next"]) == (["States.ALL"], "RecordFailure")


def test_whatever_fails_in_a_load_goes_through_finish_run(states: dict[str, State]) -> None:
    for name in ("PlanRun", "LoadPartitions", "PlanSweep", "Sweep"):
        *_, catcher = states[name].body["Catch"]
        assert catcher == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "FinishRun"}


def test_lanes_that_say_too_much_as_they_fail_are_swept_as_ever(states: dict[str, State]) -> None:
    first, _ = states["LoadPartitions"].body["Catch"]
    assert first == {"ErrorEquals": ["States.DataLimitExceeded"], "ResultPath": None, "Next": "PlanSweep"}


@pytest.mark.parametrize(
    ("choices", "model", "defaults"),
    [(("PlanReady?",), Plan, {"Finish"}), (("RunFinished?", "MoreLoads?"), Verdict, {"Fail", "Succeed"})],
)
def test_a_choice_knows_every_word_that_its_task_can_answer(
    states: dict[str, State], choices: tuple[str, ...], model: type[Plan] | type[Verdict], defaults: set[str]
) -> None:
    rules = [rule for choice in choices for rule in states[choice].body["Choices"]]
    handled = {rule["StringEquals"] for each in rules for rule in each.get("Or", [each])}
    assert handled | defaults == words(model)


def test_choices_compare_only_with_words_of_the_contracts(states: dict[str, State]) -> None:
    known = {"$.plan.next": words(Plan), "$.verdict.next": words(Verdict)}
    for path in ("$.step.next", "$.slice.outcome", "$.swept.outcome"):
        known[path] = {word.value for word in Next}
    compared = 0
    for state in states.values():
        for rule in state.body.get("Choices", []):
            if "StringEquals" in rule:
                assert rule["StringEquals"] in known[rule["Variable"]], state.name
                compared += 1
    assert compared > 10


def test_the_claim_makes_a_step(states: dict[str, State]) -> None:
    selector = states["ClaimPartition"].body["ResultSelector"]
    assert selector["epoch.$"] == "States.StringToJson($.Attributes.epoch.N)"
    rest = {key: value for key, value in selector.items() if not key.endswith(".$")}
    assert Step.model_validate({"epoch": 1, **rest}).next is Next.FETCH


def test_a_lane_counts_its_stagger_down_and_stays_a_lane(states: dict[str, State]) -> None:
    lane = states["CountStagger"].body["Parameters"]["lane"]
    assert {key.removesuffix(".$") for key in lane} == set(Lane.model_fields)
    assert lane["long_waits.$"] == "States.MathAdd($.lane.long_waits, -1)"


def test_no_wait_is_longer_than_ten_minutes_unless_a_task_says_so(states: dict[str, State]) -> None:
    for state in (state for state in states.values() if state.body["Type"] == "Wait"):
        assert state.body.get("Seconds", LONG_WAIT_SECONDS) == LONG_WAIT_SECONDS, state.name
        assert ("Seconds" in state.body) != ("SecondsPath" in state.body)


def test_every_wait_of_a_slice_leads_to_a_task_that_looks_at_the_flags(slice_machine: Definition) -> None:
    waits_of_a_slice = [state for state in iterate_states(slice_machine) if state.body["Type"] == "Wait"]
    assert {state.body["Next"] for state in waits_of_a_slice} == {"FetchPage", "CheckJob", "CheckPatience"}


def test_a_lane_looks_at_the_flags_before_each_wait(states: dict[str, State]) -> None:
    """However many lanes have yet to take their turn: none of them waits once the run is stopped."""
    assert states["LoadPartitions"].body["ItemProcessor"]["StartAt"] == "LookAtRun"
    assert states["LookAtRun"].body["Next"] == "RunStopped?"
    assert states["RunStopped?"].body["Default"] == "StaggerLonger?"
    assert {rule["Next"] for rule in states["StaggerLonger?"].body["Choices"]} == {"StaggerMore"}
    assert states["StaggerLonger?"].body["Default"] == "Stagger"
    assert (states["StaggerMore"].body["Next"], states["CountStagger"].body["Next"]) == ("CountStagger", "LookAtRun")
    assert states["Stagger"].body["Next"] == "RunSlice"


def test_one_lane_never_aborts_another(states: dict[str, State]) -> None:
    lanes = states["LoadPartitions"].body
    assert lanes["ToleratedFailurePercentage"] == 100
    assert lanes["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert lanes["MaxConcurrencyPath"] == "$.plan.max_concurrency"
    assert lanes["Label"] == "Lanes"
    assert lanes["ResultPath"] is None


def test_the_map_keeps_no_results(states: dict[str, State]) -> None:
    assert "ResultWriter" not in states["LoadPartitions"].body
    assert states["LaneDone"].body["Result"] == {}
    assert "ResultPath" not in states["LaneDone"].body


def test_the_sweep_is_a_slice_of_its_own_partition(states: dict[str, State]) -> None:
    body = states["Sweep"].body
    assert body["Resource"].endswith(":states:startExecution.sync:2")
    assert body["Parameters"]["Input"]["partition"] == SWEEP_PARTITION
    assert body["Parameters"]["Input"]["run_id.$"] == "$.plan.run_id"


@pytest.mark.parametrize("name", [*WORKING_TASKS, "CheckPatience"])
def test_the_tasks_of_a_slice_get_its_whole_payload_and_answer_with_a_step(states: dict[str, State], name: str) -> None:
    body = states[name].body
    assert "Parameters" not in body
    assert "InputPath" not in body
    assert body["ResultPath"] == "$.step"


def test_reserved_words_of_dynamodb_are_never_used_bare(states: dict[str, State]) -> None:
    for state in tasks(states):
        parameters = state.body.get("Parameters", {})
        for key in ("UpdateExpression", "ConditionExpression"):
            words_used = parameters.get(key, "").replace(",", " ").replace("(", " ").split()
            assert not {"status", "error"} & set(words_used), state.name


def test_a_partition_is_claimed_and_failed_only_under_a_condition(states: dict[str, State]) -> None:
    claim, record, mark = (
        states[name].body["Parameters"] for name in ("ClaimPartition", "RecordFailure", "MarkPartitionFailed")
    )
    assert claim["ConditionExpression"] == "attribute_exists(pk) AND #status IN (:pending, :running)"
    assert record["ConditionExpression"] == "epoch = :epoch AND #status = :running"
    assert record["ExpressionAttributeValues"][":epoch"] == {"N.$": "States.Format('{}', $.step.epoch)"}
    assert mark["ConditionExpression"] == "#status IN (:pending, :running)"
    for parameters in (claim, record, mark):
        assert parameters["Key"]["pk"] == {"S.$": "States.Format('RUN#{}', $.run_id)"}


def test_a_batch_with_two_polls_takes_at_most_thirteen_transitions(slice_machine: Definition) -> None:
    batch = ["FetchPage", "BatchReady?", "UploadBatch", "JobInFlight?"]
    batch += ["WaitForJob", "CheckJob", "JobEnded?"] * 2
    batch += ["SettleBatch", "NextStep?", "Pace"]
    assert len(batch) <= 13
    once = ["ClaimPartition", *batch, "FetchPage", "BatchReady?", "SliceDone"]
    assert history_events(slice_machine, once) < SLICE_EVENTS / 100


VISITS = [
    (waits.FETCH_EVENTS, ["FetchPage", "BatchReady?"]),
    (waits.WAIT_EVENTS, ["WaitForQuery"]),
    (waits.WAIT_EVENTS, ["WaitForTurn"]),
    (waits.UPLOAD_EVENTS, ["UploadBatch", "JobInFlight?"]),
    (waits.POLL_EVENTS, ["WaitForJob", "CheckJob", "JobEnded?"]),
    (waits.PAUSE_EVENTS, ["WaitLonger", "CheckPatience", "Patient?"]),
    (waits.SETTLE_EVENTS, ["SettleBatch", "NextStep?", "Pace"]),
    (waits.SETTLE_EVENTS, ["SettleBatch", "NextStep?", "BackOff"]),
]


@pytest.mark.parametrize(("events", "path"), VISITS, ids=lambda value: value[-1] if isinstance(value, list) else "")
def test_a_task_counts_the_events_of_its_visit(slice_machine: Definition, events: int, path: list[str]) -> None:
    assert visit_events(slice_machine, path) == events


@pytest.mark.parametrize("name", WORKING_TASKS)
def test_patience_counts_the_events_of_a_task_that_the_org_failed_four_times(
    slice_machine: Definition, name: str
) -> None:
    visit = visit_events(slice_machine, [name, "CheckPatience", "Patient?", "WaitForOrg"])
    assert visit + retry_events([ORG_RETRY]) <= waits.PATIENCE_EVENTS


def test_a_slice_stays_below_15_000_events_however_badly_its_last_batch_goes(
    states: dict[str, State], slice_machine: Definition
) -> None:
    """Above SLICE_EVENTS a slice begins no batch, but it may have just begun one: with every attempt that a batch can
    have, each job lost as often as that is borne, every task failing as often as it is retried, and waits for the org
    between the tasks. 15,000 is 60 % of the 25,000 at which an execution ends (Step Functions quotas).
    """
    most_retries = max(len(Pace.model_validate(preset).retry_delays_seconds) for preset in PACE.values())
    attempts = 1 + most_retries + MOST_LOST_JOBS
    path = [
        "UploadBatch",
        "JobInFlight?",
        "WaitForJob",
        "CheckJob",
        "JobEnded?",
        "SettleBatch",
        "NextStep?",
        "BackOff",
    ]
    path += ["FetchPage", "BatchReady?"]
    patience = ["CheckPatience", "Patient?", "WaitForOrg", "FetchPage", "BatchReady?"]
    once = visit_events(slice_machine, path) + 3 * visit_events(slice_machine, patience)
    tasks_once = [
        "UploadBatch",
        "CheckJob",
        "SettleBatch",
        "FetchPage",
        *["CheckPatience", "FetchPage"] * 3,
    ]
    once += sum(retry_events(states[name].body["Retry"]) for name in tasks_once)
    assert SLICE_EVENTS + attempts * once < 15_000


def test_a_lane_that_has_waited_longest_for_its_turn_has_events_left_for_its_slices(load_machine: Definition) -> None:
    once_more = ["LookAtRun", "RunStopped?", "StaggerLonger?", "StaggerMore", "CountStagger"]
    slice_of_its = ["RunSlice", "PartitionDone?"]
    waited = LONGEST_STAGGER_SECONDS // LONG_WAIT_SECONDS * visit_events(load_machine, once_more)
    assert waited + 200 * visit_events(load_machine, slice_of_its) < 25_000


def words(model: type[Plan] | type[Verdict]) -> set[str]:
    return set(model.model_json_schema()["properties"]["next"]["enum"])
