"""The environment of each function, as a model; nothing else reads the environment.

The stack derives the variables that it sets from the same models.
"""

from __future__ import annotations

import os
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from massive_upload.errors import InternalError


class Settings(BaseModel):
    """Settings that every function has. A variable is named like its field, in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    table_name: str
    bucket_name: str

    @classmethod
    def variables(cls) -> list[str]:
        """The names of the environment variables that a function with these settings needs."""
        return [name.upper() for name in cls.model_fields]

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings.

        Raises:
            InternalError: a variable is missing; the stack and the code do not fit together.
        """
        values = {name: os.environ[name.upper()] for name in cls.model_fields if name.upper() in os.environ}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            missing = ", ".join(str(item["loc"][0]).upper() for item in error.errors())
            raise InternalError(
                f"The function's environment lacks {missing}.", next_step="Deploy the stack again."
            ) from error


class OrgSettings(Settings):
    """Settings of a function that talks to the org."""

    secret_id: str


class WatchdogSettings(Settings):
    """Settings of the watchdog, which hands ended runs to FinishRun."""

    finish_run_function: str
