import pytest

from local.org.clock import ManualClock
from local.org.errors import ApiError
from local.org.limits import DailyLimits


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def limits(clock):
    return DailyLimits(clock, api_requests=3, bulk_batches=2)


def test_every_request_lowers_what_remains(limits):
    limits.count_request()
    assert limits.describe()["DailyApiRequests"] == {"Max": 3, "Remaining": 2}
    assert limits.usage_header == "api-usage=1/3"


def test_when_the_requests_are_used_up_the_answer_is_403(limits):
    for _ in range(3):
        limits.count_request()
    with pytest.raises(ApiError, match="TotalRequests Limit exceeded") as refused:
        limits.count_request()
    assert (refused.value.status, refused.value.code) == (403, "REQUEST_LIMIT_EXCEEDED")


def test_after_a_day_all_requests_remain(limits, clock):
    limits.count_request()
    clock.move(86_400)
    assert limits.describe()["DailyApiRequests"]["Remaining"] == 3
