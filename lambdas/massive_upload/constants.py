"""Limits and settings that the state machines and the code must agree on."""

GARBAGE_THRESHOLD = 500_000
"""New objects before Python looks for garbage in a function. Rows are lists of texts, without cycles. Looking through
them again and again, as with Python's threshold of 700, took a quarter of a lane's CPU time and found nothing
(benchmarks/data_path.py)."""

LONG_WAIT_SECONDS = 600
"""No Wait state is longer: a run's stop or pause flag is looked at at least this often."""

STATE_KEPT_DAYS = 90
"""For so long a run's items and files are kept. Step Functions keeps the history of an execution as long (quotas page),
so both ends of a story expire together."""

LONGEST_EXECUTION_DAYS = 30
"""Time-out of the load machine: long enough for a stagger of days; a run that ends so can be resumed."""

RESUMABLE_DAYS = STATE_KEPT_DAYS - LONGEST_EXECUTION_DAYS
"""A run that is older is gone on with no more: what it needs might expire before the execution that does so ends."""

RETRY_WAITS_SECONDS = (2, 5, 10)
"""Waits of Step Functions' Retry for a passing error of the org."""

ORG_WAITS_SECONDS = (60, 300, 600)
"""Waits for an org that does not answer, after the 17 s of Retry are used up; the last one repeats."""

ALLOWANCE_WAITS_SECONDS = (600, 3600)
"""Waits for an org that has refused a lane as its allowances of the day are used up; the last one repeats."""

ALLOWANCE_PATIENCE_SECONDS = 25 * 3600
"""They count the last 24 hours (Salesforce, "API Request Limits and Allocations"): a lane that is refused for longer is
so for another reason, or as others take all that comes back, and somebody has to look."""

MAX_LANES = 1000
"""The lanes travel in one payload: 1,000 of them are about 65 KB of the 256 KiB (Step Functions quotas)."""

SLICE_EVENTS = 10_000
"""A slice yields when it has used as many history events: Step Functions ends an execution at 25,000 (quotas page),
and Retry can multiply the events of a task by up to four."""

SWEEP_PARTITION = "sweep"

JOB_ROWS_PER_BATCH = 10_000
"""Salesforce processes, and charges, a job in batches of 10,000 rows (Bulk API 2.0 guide, limits)."""

MAX_JOB_BYTES = 100_000_000
"""A job's data may be 150 MB after base64 encoding; Salesforce advises at most 100 MB raw (Bulk API 2.0 guide)."""

SUCCESS_CRITERION_PERCENT = 95.0

JUDGED_FROM_ROWS = 10_000
"""The success rate of a run that goes on is told from so many rows on: before, a few rejects look like a disaster."""

BATCHES_BETWEEN_LOOKS = 25
"""How often a lane looks at what it shares with others, the org's limits and the run's other lanes: a batch takes at
least five requests to the org, so that one more adds less than one in a hundred."""

DRAIN_WAIT_SECONDS = 30
"""How long FinishRun lets pass before it looks again at jobs in flight that it has aborted."""

ABORTED_JOB_SECONDS = 300
"""For how long rows of an aborted job may still be written.

A batch that has begun is processed to its end (Bulk API guide, "Interpret Batch State"), which takes 5 minutes at most,
a batch's time-out (Bulk API 2.0 guide, "How Requests Are Processed"). Another page of the former, "Abort a Job", says
that no more rows are processed.
"""

MOST_DRAINS = 10
"""So often FinishRun waits for jobs in flight. Those that have not ended by then leave their rows unsettled, as a run
must come to an end."""
