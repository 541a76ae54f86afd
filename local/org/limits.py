from threading import Lock

from local.org.clock import OrgClock
from local.org.errors import daily_batches_used_up, daily_requests_used_up

_DAY_SECONDS = 86_400


class DailyLimits:
    """What the org allows in 24 hours, and how much of it is used.

    The windows follow each other from the start of the org; the real ones roll.
    """

    def __init__(self, clock: OrgClock, *, api_requests: int, bulk_batches: int) -> None:
        self._clock = clock
        self._max = {"DailyApiRequests": api_requests, "DailyBulkApiBatches": bulk_batches}
        self._used = dict.fromkeys(self._max, 0)
        self._day = 0
        self._lock = Lock()

    def count_request(self) -> None:
        """Count one call of the API.

        Raises:
            ApiError: REQUEST_LIMIT_EXCEEDED, the day's calls are used up.
        """
        with self._lock:
            self._roll_over()
            if self._used["DailyApiRequests"] >= self._max["DailyApiRequests"]:
                raise daily_requests_used_up()
            self._used["DailyApiRequests"] += 1

    def count_batches(self, batches: int) -> None:
        """Count the batches of a job that was closed."""
        with self._lock:
            self._roll_over()
            self._used["DailyBulkApiBatches"] += batches

    def check_batches(self) -> None:
        """Make sure that a new job could be processed today.

        Raises:
            ApiError: ExceededQuota, the day's batches are used up.
        """
        with self._lock:
            self._roll_over()
            if self._used["DailyBulkApiBatches"] >= self._max["DailyBulkApiBatches"]:
                raise daily_batches_used_up()

    @property
    def usage_header(self) -> str:
        """The value of `Sforce-Limit-Info`."""
        return f"api-usage={self._used['DailyApiRequests']}/{self._max['DailyApiRequests']}"

    def describe(self) -> dict[str, dict[str, int]]:
        """The answer of `/limits`."""
        with self._lock:
            self._roll_over()
            return {
                name: {"Max": most, "Remaining": max(0, most - self._used[name])} for name, most in self._max.items()
            }

    def _roll_over(self) -> None:
        day = int(self._clock.seconds() // _DAY_SECONDS)
        if day > self._day:
            self._day = day
            self._used = dict.fromkeys(self._max, 0)
