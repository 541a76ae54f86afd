"""When a completed run sets a load's watermark, and what is a moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from massive_upload.domain.incremental import Watermark, may_set, moment_of

DAY = timedelta(days=1)
KNOWN = Watermark(
    load="deals",
    as_of=datetime(2026, 1, 10, tzinfo=UTC),
    target="00D#deal__c",
    mapping_sha256="mapping",
    run_id="run-1",
    set_at=datetime(2026, 1, 11, tzinfo=UTC),
)


def may_follow(after: timedelta, *, window: timedelta | None = None, began: timedelta = DAY) -> bool:
    """Whether a run that read the source as of so much later replaces `KNOWN`.

    Args:
        after: from when the known watermark is to when this one is.
        window: from the former to where the run's window begins; None for a full run.
        began: from when the known one was set to when the run began.
    """
    modified_after = None if window is None else KNOWN.as_of + window
    new = replace(KNOWN, as_of=KNOWN.as_of + after)
    return may_set(new, KNOWN, modified_after=modified_after, started_at=KNOWN.set_at + began)


def test_a_run_that_has_read_further_sets_its_watermark_unless_its_window_leaves_a_gap():
    assert may_follow(DAY)
    assert may_follow(DAY, began=-DAY)
    assert may_follow(DAY, window=timedelta())
    assert may_follow(DAY, window=-DAY)
    assert not may_follow(DAY, window=timedelta(milliseconds=1))


def test_a_watermark_goes_back_only_for_a_full_run_that_began_once_it_was_set():
    assert may_follow(-DAY)
    assert may_follow(-DAY, began=timedelta())
    assert not may_follow(-DAY, began=timedelta(milliseconds=-1))
    assert not may_follow(-DAY, window=-DAY)


def test_a_run_that_has_read_no_further_leaves_the_watermark():
    assert not may_follow(timedelta())
    assert not may_follow(timedelta(), window=-DAY)


@pytest.mark.parametrize("known", [None, replace(KNOWN, target="00E#deal__c"), replace(KNOWN, mapping_sha256="other")])
def test_the_first_watermark_of_a_mapping_and_a_target_is_that_of_a_full_run(known):
    assert may_set(KNOWN, known, modified_after=None, started_at=KNOWN.set_at - DAY)
    assert not may_set(KNOWN, known, modified_after=KNOWN.as_of - DAY, started_at=KNOWN.set_at + DAY)


def test_a_moment_is_cut_to_the_millisecond_and_has_a_zone():
    assert moment_of("2026-01-31 10:20:30.123999 UTC") == datetime(2026, 1, 31, 10, 20, 30, 123_000, tzinfo=UTC)
    assert moment_of("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert moment_of(None) is None


@pytest.mark.parametrize("text", ["yesterday", "2026-01-31T10:20"])
def test_what_is_no_moment_or_has_no_zone_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own text, or ours
        moment_of(text)
