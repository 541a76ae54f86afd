"""A load: what its file says, validated and complete."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from massive_upload.constants import JOB_ROWS_PER_BATCH, LONG_WAIT_SECONDS, MAX_LANES, SUCCESS_CRITERION_PERCENT
from massive_upload.domain import presets
from massive_upload.domain.pace import FULL_SPEED_PERCENT, LanePace, longer_delays
from massive_upload.domain.sql_condition import check_condition
from massive_upload.domain.window import Window, check_window

Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\"]+$")]
"""An object or column of the source: any text without quotes and control characters, so that quoting is safe."""

_FIELD = r"[A-Za-z][A-Za-z0-9_]*"
FieldName = Annotated[
    str,
    StringConstraints(pattern=rf"^{_FIELD}(:{_FIELD})?(\.{_FIELD})?$"),
]
"""A target field, or ``Parent.Field``, ``Parent__r.Field`` or ``Type:Parent.Field`` (Bulk API 2.0 guide)."""

LoadName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]

DelaySeconds = Annotated[int, Field(ge=0, le=LONG_WAIT_SECONDS)]
"""No wait is longer, so that a stop or pause is seen in time."""

RetryDelays = Annotated[tuple[DelaySeconds, ...], Field(max_length=10)]


class Model(BaseModel):
    """Frozen, and an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@unique
class FieldType(StrEnum):
    """How a value is written for the Bulk API."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"


class Source(Model):
    """Where rows come from: a Data Cloud object."""

    object: Name
    key: Name
    dataspace: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+$")] = "default"
    parent: Name | None = None
    modified: Name | None = None
    where: Annotated[str, StringConstraints(min_length=1), AfterValidator(check_condition)] | None = None


class Target(Model):
    """Where rows go: a Salesforce object and the external id that rows are matched by."""

    object: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    external_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class FieldMapping(Model):
    """Where a source column goes. ``null`` says what a NULL does: clear the field (``#N/A``) or keep its value."""

    to: FieldName
    type: FieldType = FieldType.TEXT
    null: Literal["clear", "keep"] = "clear"


class Partitioning(Model):
    """How the source is cut into lanes.

    Attributes:
        by: ranges of keys, or of parents, which no two lanes then share; where it is not given, of parents if the
            source names a parent column.
        count: lanes; chosen from the volume where it is not given.
        org_batches: batches that the org works on at the same time, which decides how many lanes there are that do not
            meet, as lanes of parents do not, nor rows that lock nothing; where it is not given, by what the org showed
            in the load's last run, 20 at first.
        lane_rows: about how many rows a lane of keys has where lanes may meet and there are more than 10 million rows;
            the number of lanes for fewer rows goes by the lock risk.
        max_concurrency: lanes that load at the same time.
    """

    by: Literal["key", "parent"] | None = None
    count: Annotated[int, Field(ge=1, le=MAX_LANES)] | None = None
    org_batches: Annotated[int, Field(ge=1, le=MAX_LANES)] | None = None
    lane_rows: Annotated[int, Field(ge=1)] = presets.LANE_ROWS
    max_concurrency: Annotated[int, Field(ge=1, le=MAX_LANES)] = MAX_LANES


class Pace(Model):
    """How fast a lane goes. Every value has a preset for the load's lock risk (`presets`).

    Attributes:
        adaptive: whether lanes go slower, down to the preset's slowest pace, while rows fail for a passing reason.
    """

    batch_rows: Annotated[int, Field(ge=1, le=15 * JOB_ROWS_PER_BATCH)]
    delay_seconds: DelaySeconds
    stagger_seconds: Annotated[int, Field(ge=0, le=7 * 86_400)]
    retry_delays_seconds: RetryDelays
    patience_seconds: Annotated[int, Field(ge=0, le=86_400)] = presets.PATIENCE_SECONDS
    adaptive: bool = True


class LaneBreaker(Model):
    """When a lane is given up, as too much of it fails.

    Attributes:
        failed_jobs: jobs in a row that failed as a whole, were aborted or were deleted.
        failed_percent: rejected and given-up rows among ``judged_rows`` rows in a row.
        judged_rows: the lane's rows are judged so many at a time, in whole batches.
    """

    failed_jobs: Annotated[int, Field(ge=1)] = presets.LANE_FAILED_JOBS
    failed_percent: Annotated[int, Field(ge=1, le=100)] = presets.LANE_FAILED_PERCENT
    judged_rows: Annotated[int, Field(ge=1)] = presets.LANE_JUDGED_ROWS


class RunBreaker(Model):
    """When the whole run is stopped, as too much of it fails.

    Attributes:
        failed_lanes: lanes that have failed, for whatever reason.
        failed_percent: rejected and given-up rows among all rows that are settled.
        judged_rows: from so many settled rows on.
    """

    failed_lanes: Annotated[int, Field(ge=1)] = presets.RUN_FAILED_LANES
    failed_percent: Annotated[int, Field(ge=1, le=100)] = presets.RUN_FAILED_PERCENT
    judged_rows: Annotated[int, Field(ge=1)] = presets.RUN_JUDGED_ROWS


class Breaker(Model):
    """The circuit breaker's limits; resume begins to count anew."""

    lane: LaneBreaker = LaneBreaker()
    run: RunBreaker = RunBreaker()


class Sample(Model):
    """How many rows a run of mode ``sample`` loads."""

    rows: Annotated[int, Field(ge=1)] = presets.SAMPLE_ROWS


class Budget(Model):
    """What of the org's daily allowances is left to others.

    Attributes:
        api_requests_reserve_percent: of DailyApiRequests; a load begins no batch that would go below.
        bulk_batches_reserve_percent: of DailyBulkApiBatches.
    """

    api_requests_reserve_percent: Annotated[int, Field(ge=0, le=99)] = presets.RESERVE_PERCENT
    bulk_batches_reserve_percent: Annotated[int, Field(ge=0, le=99)] = presets.RESERVE_PERCENT


class Incremental(Model):
    """How runs of mode ``incremental`` read the source.

    Attributes:
        overlap_seconds: how far before the last complete run's watermark they begin, as rows may reach Data Cloud
            later than others that were modified after them. At least 1: more rows of the watermark's own moment, or
            day, may follow.
    """

    overlap_seconds: Annotated[int, Field(ge=1, le=365 * 86_400)] = presets.OVERLAP_SECONDS


class Schedule(Model):
    """When the load starts by itself.

    Attributes:
        window: the hours in which a run that was started by the schedule begins batches, such as "22:00-06:00".
    """

    cron: str
    timezone: str = "UTC"
    window: Annotated[str, AfterValidator(check_window)] | None = None
    mode: Literal["full", "incremental"] = "full"

    @property
    def hours(self) -> Window | None:
        """The window, ready to be asked; None where the load may run at any hour."""
        return None if self.window is None else Window.parse(self.window, self.timezone)


class LoadSequence(Model):
    """Loads that are carried out one after the other, parents first: the compiled form of a file with ``sequence``.

    Attributes:
        sequence: the names of the loads; each begins when the one before has completed.
        schedule: when the sequence starts by itself.
    """

    name: LoadName
    sequence: Annotated[tuple[LoadName, ...], Field(min_length=1)]
    schedule: Schedule | None = None


class PartitioningOverrides(Model):
    """What an execution's input may change of `Partitioning`."""

    by: Literal["key", "parent"] | None = None
    count: Annotated[int, Field(ge=1, le=MAX_LANES)] | None = None
    org_batches: Annotated[int, Field(ge=1, le=MAX_LANES)] | None = None
    lane_rows: Annotated[int, Field(ge=1)] | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=MAX_LANES)] | None = None


class PaceOverrides(Model):
    """What an execution's input, or the load's file, may change of the preset `Pace`."""

    batch_rows: Annotated[int, Field(ge=1, le=15 * JOB_ROWS_PER_BATCH)] | None = None
    delay_seconds: DelaySeconds | None = None
    stagger_seconds: Annotated[int, Field(ge=0, le=7 * 86_400)] | None = None
    retry_delays_seconds: RetryDelays | None = None
    patience_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    adaptive: bool | None = None


class SampleOverrides(Model):
    """What an execution's input may change of `Sample`."""

    rows: Annotated[int, Field(ge=1)] | None = None


class Load(Model):
    """One load, complete: the compiled form of ``loads/<name>.yaml``."""

    name: LoadName
    source: Source
    target: Target
    fields: Annotated[dict[Name, FieldMapping], Field(min_length=1)]
    lock_risk: presets.LockRisk = presets.LockRisk.MEDIUM
    duplicates: Literal["stop", "keep_newest"] = "stop"
    partitioning: Partitioning = Partitioning()
    pace: PaceOverrides = PaceOverrides()
    breaker: Breaker = Breaker()
    budget: Budget = Budget()
    sample: Sample = Sample()
    incremental: Incremental = Incremental()
    success_criterion_percent: Annotated[float, Field(ge=0, le=100)] = SUCCESS_CRITERION_PERCENT
    schedule: Schedule | None = None

    @model_validator(mode="after")
    def _check_mapping(self) -> Self:
        key = self.fields.get(self.source.key)
        if key is None:
            raise ValueError(
                f"fields: the source's key {self.source.key!r} is not mapped; "
                f"add '{self.source.key}: {self.target.external_id}'"
            )
        if key.to != self.target.external_id:
            raise ValueError(
                f"fields: the source's key {self.source.key!r} goes to {key.to!r}; "
                f"it must go to the external id {self.target.external_id!r}"
            )
        if key.type is not FieldType.TEXT:
            raise ValueError(
                f"fields: the source's key {self.source.key!r} has the type {key.type}, which may make two keys one "
                "that the plan has counted as two; leave its type out, numbers are then written digit for digit"
            )
        targets: dict[str, str] = {}
        for column, mapping in self.fields.items():
            taken_by = targets.setdefault(mapping.to.casefold(), column)
            if taken_by != column:
                raise ValueError(
                    f"fields: {column!r} and {taken_by!r} both go to {mapping.to!r}; map one of them elsewhere"
                )
        if self.duplicates == "keep_newest" and self.source.modified is None:
            raise ValueError(
                "duplicates: keep_newest needs to know which row is newest; "
                "give source.modified, or say duplicates: stop"
            )
        if self.schedule is not None and self.schedule.mode == "incremental" and self.source.modified is None:
            raise ValueError(
                "schedule: mode incremental needs the column that tells when a row was modified; "
                "give source.modified, or say mode: full"
            )
        if self.partitioning.by == "parent" and self.source.parent is None:
            raise ValueError(
                "partitioning: by parent needs the column that tells a row's parent; give source.parent, or say by: key"
            )
        if self.lanes_by_parent and self.effective_pace.batch_rows > JOB_ROWS_PER_BATCH:
            raise ValueError(
                f"pace: lanes of parents have batch_rows of at most {JOB_ROWS_PER_BATCH}, as the org works on larger "
                "jobs in several batches at once; lower batch_rows, or say partitioning: {by: key}"
            )
        return self

    @property
    def lanes_by_parent(self) -> bool:
        """Whether the lanes are ranges of parents."""
        return (self.partitioning.by or ("parent" if self.source.parent else "key")) == "parent"

    @property
    def lanes_meet(self) -> bool:
        """Whether rows of two lanes may wait for each other's parents."""
        return not self.lanes_by_parent and self.lock_risk is not presets.LockRisk.NONE

    @property
    def effective_pace(self) -> Pace:
        """The preset of the load's lanes and lock risk, with what the load or the run's input changes."""
        preset = presets.PARENT_PACE if self.lanes_by_parent else presets.PACE[self.lock_risk]
        return Pace.model_validate(preset | self.pace.model_dump(exclude_none=True))

    def pace_at(self, lane: LanePace, *, is_paired: bool = False) -> Pace:
        """The pace that a lane has at its speed.

        Args:
            lane: where it stands between its slowest and its fastest pace.
            is_paired: as `Partition` has it; a lane that has to go slower goes on in jobs of single batches.
        """
        fastest = self.effective_pace
        batch_rows = fastest.batch_rows
        if is_paired and lane.speed_percent == FULL_SPEED_PERCENT:
            batch_rows *= presets.PAIR_BATCHES
        rows, delay_seconds = (
            presets.SLOWEST_PARENT_PACE if self.lanes_by_parent else presets.SLOWEST_PACE[self.lock_risk]
        )
        delays = fastest.retry_delays_seconds
        changes = {
            "batch_rows": lane.between(min(rows, fastest.batch_rows), batch_rows),
            "delay_seconds": lane.between(max(delay_seconds, fastest.delay_seconds), fastest.delay_seconds),
            "retry_delays_seconds": longer_delays(delays) if lane.is_patient else delays,
        }
        return fastest.model_copy(update=changes)

    def with_overrides(
        self,
        *,
        pace: PaceOverrides | None,
        partitioning: PartitioningOverrides | None,
        sample: SampleOverrides | None,
    ) -> Load:
        """The load as an execution's input changes it."""
        document = self.model_dump(mode="json")
        for name, changes in (("pace", pace), ("partitioning", partitioning), ("sample", sample)):
            if changes is not None:
                document[name] |= changes.model_dump(mode="json", exclude_none=True)
        return Load.model_validate(document)
