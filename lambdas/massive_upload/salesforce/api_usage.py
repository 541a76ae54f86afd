"""The daily API requests of the org, as each answer tells them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

HEADER = "Sforce-Limit-Info"
# REST API guide, Limit Info Header: `api-usage=25/5000`; `; per-app-api-usage=17/250(appName=x)` may follow.
_ORG_USAGE = re.compile(r"(?<![\w-])api-usage\s*=\s*(\d+)\s*/\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class ApiUsage:
    """Requests used in the last 24 hours, by everybody in the org, and how many are allowed."""

    used: int
    allowed: int

    @property
    def left(self) -> int:
        """Requests that may still be made."""
        return self.allowed - self.used


def parse_api_usage(headers: Mapping[str, str]) -> ApiUsage | None:
    """Read the header of an answer; None where it is missing or of another form."""
    match = _ORG_USAGE.search(headers.get(HEADER, ""))
    return ApiUsage(used=int(match[1]), allowed=int(match[2])) if match else None
