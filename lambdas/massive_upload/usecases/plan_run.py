"""PlanRun: find out what there is to load, and cut it into lanes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import ValidationError

from massive_upload.contracts import RUN_ID_PATTERN, Mode, Plan, PlanRunInput, PlanSoFar, StartInput
from massive_upload.domain.waits import plan_wait_seconds
from massive_upload.errors import (
    ORG_NOT_READY,
    CredentialsRejected,
    InvalidInput,
    LoadError,
    OrgUnreachable,
    QuotaExhausted,
    SalesforceUnavailable,
    SessionExpired,
)
from massive_upload.observability import Event, Marker, log
from massive_upload.salesforce.data_cloud import QueryExpired
from massive_upload.salesforce.error_codes import CHECK_SESSION
from massive_upload.usecases.org_usage import tell_used_up
from massive_upload.usecases.planning.begin import BeginRun
from massive_upload.usecases.planning.request import Planner, PlanRequest, PlanServices, begun_run
from massive_upload.usecases.planning.resume import ResumeRun
from massive_upload.usecases.planning.retry import RetryRun
from massive_upload.usecases.planning.sequence_place import place_in_sequence
from massive_upload.usecases.planning.target_lease import JobsLeft
from massive_upload.usecases.run_ids import run_id_in_sequence, run_id_of

_MOST_SESSIONS_REFUSED = 5
"""Refusals in a row after which a plan still waits: 2, 5, 10, 60 and 300 s, where it had not waited before. The next
one ends it: an org that takes none of its own new tokens does not come back by itself."""

_PLANNERS: Mapping[Mode, type[Planner]] = {Mode.RESUME: ResumeRun, Mode.RETRY_FAILED: RetryRun}
"""How a run is planned; all other modes count the source."""


def plan_run(task: PlanRunInput, services: PlanServices) -> Plan:
    """Begin, or resume, the run that an execution carries out, and say which lanes it has.

    A repeated PlanRun goes on where the first one was: the run's item names the plan that counts, and the partitions
    are made from that plan alone.

    Raises:
        ConfigurationError: something is wrong with the input, the load, the source or the target; nothing was written
            to the target.
        AnotherRunActive: another execution is loading the target.
        OrgUnreachable: for as long as the load's patience lasts, the org did not answer, or did not end the jobs that
            the run before has left in flight.
        PassingError: the org or AWS did not answer.
    """
    request = _request_of(task, services)
    so_far = {"sequence": request.place.sequence, "position": task.plan.position}
    return _plan(request, task.plan, services).model_copy(update=so_far)


def _request_of(task: PlanRunInput, services: PlanServices) -> PlanRequest:
    start = _parse(task.input)
    sequence = services.sequence_named(start.load) if start.load is not None else None
    place = place_in_sequence(start, task.plan, sequence)
    run_id = run_id_of(task.input, task.execution)
    if place.sequence:
        run_id = run_id_in_sequence(run_id, place.load)
        start = start.model_copy(update={"load": place.load})
    if not re.fullmatch(RUN_ID_PATTERN, run_id):
        raise InvalidInput(
            f"{run_id!r} cannot be a run's id.",
            next_step="Name the execution, or give a run_id, with letters, digits, '.', '_' and '-' alone.",
        )
    return PlanRequest(start, run_id, task.execution, place, task.plan.org_waited_seconds)


def _plan(request: PlanRequest, so_far: PlanSoFar, services: PlanServices) -> Plan:
    run = begun_run(request, services)
    if run is not None and run.is_unfinished and run.is_halting:  # before the org is asked, which may be down
        return Plan(next="Finish", run_id=request.run_id)
    planner = _PLANNERS.get(request.start.mode, BeginRun)(request, services)
    try:
        return planner.plan()
    except (*ORG_NOT_READY, QueryExpired, JobsLeft) as error:
        if isinstance(error, SessionExpired) and so_far.sessions_refused >= _MOST_SESSIONS_REFUSED:
            raise CredentialsRejected(
                "The org gives out tokens, and refuses each of them.", next_step=CHECK_SESSION, code=error.code
            ) from error
        silent = isinstance(error, SalesforceUnavailable) and not error.answered
        if silent and request.place.is_first and begun_run(request, services) is None:
            raise  # its address may be wrong: nobody is to wait for hours to hear of it
        return _wait_for_org(so_far, request.run_id, error, planner.patience_seconds())


def _wait_for_org(before: PlanSoFar, run_id: str, error: LoadError, patience_seconds: int) -> Plan:
    """The next wait for an org that does not answer, which is nobody's fault before anything is written either."""
    if isinstance(error, QuotaExhausted):
        tell_used_up(type(error).__name__)
    waited_seconds = before.org_waited_seconds
    is_for_jobs = isinstance(error, JobsLeft)
    if waited_seconds >= patience_seconds and is_for_jobs:
        raise OrgUnreachable(
            f"{error} They did not end in {waited_seconds} s, which is the load's patience.",
            next_step="Abort them in Setup, Bulk Data Load Jobs, then start the run again.",
        ) from error
    if waited_seconds >= patience_seconds:
        raise OrgUnreachable(
            f"The plan has waited for {waited_seconds} s, which is the load's patience. The last try said: {error}",
            next_step="Start the run again when the org answers; raise pace.patience_seconds for longer outages.",
        ) from error
    wait_seconds = min(plan_wait_seconds(before.org_waits), patience_seconds - waited_seconds)
    event = Event.WAITING_FOR_OLD_JOBS if is_for_jobs else Event.WAITING_FOR_ORG
    log(Marker.WAITING, event, wait_seconds=wait_seconds, waited_seconds=waited_seconds)
    return Plan(
        next="Wait",
        run_id=run_id,
        wait_seconds=wait_seconds,
        org_waits=before.org_waits + 1,
        sessions_refused=before.sessions_refused + 1 if isinstance(error, SessionExpired) else 0,
        org_waited_seconds=waited_seconds + wait_seconds,
    )


def _parse(given: dict[str, object]) -> StartInput:
    known = {name: value for name, value in given.items() if not name.startswith("AWS_STEP_FUNCTIONS_")}
    try:
        return StartInput.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "input"
        raise InvalidInput(
            f"The execution's input is wrong at {where}: {first['msg']}.",
            next_step='Start with, for example, {"load": "opportunity"}; see the files in events/.',
        ) from error
