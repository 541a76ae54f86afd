"""How much of its daily allowances the org has used, as far as it tells."""

from __future__ import annotations

from massive_upload.errors import LoadError
from massive_upload.observability import Event, Marker, Metric, emit, log
from massive_upload.salesforce.metadata import Allowance
from massive_upload.usecases.org import Org


def tell_usage(org: Org, *, with_batches: bool) -> None:
    """Emit what is used.

    The requests are told by every answer. The batches have to be asked for, and an org that does not answer then must
    not hold up the load.

    Args:
        org: the org.
        with_batches: whether to ask for the batches too, which takes a request.
    """
    values: dict[Metric, float] = {}
    usage = org.api_usage
    if usage is not None and usage.allowed:
        values[Metric.API_REQUESTS_USED_PERCENT] = 100 * usage.used / usage.allowed
    batches = _bulk_batches(org) if with_batches else None
    if batches is not None and batches.max:
        values[Metric.BULK_BATCHES_USED_PERCENT] = 100 * (batches.max - batches.remaining) / batches.max
    if values:
        emit(values)


def _bulk_batches(org: Org) -> Allowance | None:
    try:
        return org.metadata.limits().daily_bulk_batches
    except LoadError as error:
        log(Marker.WARNING, Event.LIMITS_UNKNOWN, error=type(error).__name__, code=error.code)
        return None
