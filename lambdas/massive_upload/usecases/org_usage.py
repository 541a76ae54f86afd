"""How much of its daily allowances the org has used, as far as it tells."""

from __future__ import annotations

from massive_upload.errors import BatchQuotaExhausted, RequestQuotaExhausted
from massive_upload.observability import Metric, emit
from massive_upload.salesforce.api_usage import ApiUsage
from massive_upload.salesforce.metadata import Limits

_USED_UP = {
    RequestQuotaExhausted.__name__: Metric.API_REQUESTS_USED_PERCENT,
    BatchQuotaExhausted.__name__: Metric.BULK_BATCHES_USED_PERCENT,
}


def tell_used_up(error: str) -> None:
    """Emit that all of an allowance is used, as a refusal of this name says even where the org tells no allowance."""
    emit({_USED_UP[error]: 100})


def tell_usage(usage: ApiUsage | None) -> None:
    """Emit what is used of the API requests, which every answer tells."""
    if usage is not None and usage.allowed:
        emit({Metric.API_REQUESTS_USED_PERCENT: 100 * usage.used / usage.allowed})


def tell_quota(limits: Limits) -> dict[str, int]:
    """Emit what is used of both allowances, and give back what is known of them, by the names that `OrgQuota` has."""
    told = (
        ("requests", limits.daily_api_requests, Metric.API_REQUESTS_USED_PERCENT),
        ("batches", limits.daily_bulk_batches, Metric.BULK_BATCHES_USED_PERCENT),
    )
    found: dict[str, int] = {}
    values: dict[Metric, float] = {}
    for name, allowance, metric in told:
        if allowance is not None and allowance.max:
            found |= {f"{name}_max": allowance.max, f"{name}_left": allowance.remaining}
            values[metric] = 100 * (allowance.max - allowance.remaining) / allowance.max
    if values:
        emit(values)
    return found
