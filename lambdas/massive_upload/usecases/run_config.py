"""The configuration of a run, frozen when it is planned: every task of the run, and resume, reads only that."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from massive_upload.domain.documents import sha256_of
from massive_upload.domain.file_keys import config_key
from massive_upload.domain.identity import Identity
from massive_upload.domain.load import Load
from massive_upload.domain.source_sql import ColumnType
from massive_upload.errors import RunNotResumable
from massive_upload.ports import Files

_KEPT = 8


class RunConfig(BaseModel):
    """A run's load, and what its plan found out.

    Attributes:
        column_types: Data Cloud's type of each mapped column.
        case_sensitive_key, parent_is_id: as `identity.Identity` has them.
        sample_rows: how many rows a sample takes, of a run that is one.
        lease_key: names the org and the object that the run writes to.
        keeps_window: whether the run begins batches in the load's window alone, as the schedule started it.
        modified_after: where the window of an incremental run begins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    load: Load
    column_types: dict[str, ColumnType]
    case_sensitive_key: bool
    parent_is_id: bool
    sample_rows: int | None
    lease_key: str
    keeps_window: bool
    modified_after: datetime | None

    @property
    def identity(self) -> Identity:
        """What the target takes for the same record."""
        return Identity(case_sensitive_key=self.case_sensitive_key, parent_is_id=self.parent_is_id)

    @property
    def load_sha256(self) -> str:
        """Digest of the load: the same for runs of the same configuration."""
        return sha256_of(self.load.model_dump(mode="json"))

    @property
    def org_id(self) -> str:
        """The org that the run writes to."""
        return self.lease_key.partition("#")[0]


class RunConfigs:
    """Reads frozen configurations, and remembers the last few: they never change."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: dict[str, RunConfig] = {}

    def of(self, run_id: str) -> RunConfig:
        """The configuration of a planned run."""
        if run_id not in self._known:
            while len(self._known) >= _KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[run_id] = _parse(run_id, self._files.read(config_key(run_id)))
        return self._known[run_id]

    def freeze(self, run_id: str, config: RunConfig) -> None:
        """Write the configuration of a run that is being planned."""
        self._files.write(config_key(run_id), config.model_dump_json().encode(), content_type="application/json")


def _parse(run_id: str, content: bytes) -> RunConfig:
    try:
        return RunConfig.model_validate_json(content)
    except ValidationError as error:
        raise RunNotResumable(
            f"The configuration of run {run_id} is not one that this edition of the product knows.",
            next_step="Go on with the edition that began the run, or start the load anew.",
        ) from error
