"""Bugs that would break the promise, each with the test that must fail for it.

A bug is a replacement of a text that occurs exactly once in a file of the product. `make bugs` puts one after the other
into a copy of the tree and runs the test that is named; `test_bugs.py` makes sure that all of them still apply.
"""

from dataclasses import dataclass

_CASES = "tests/integration/usecases"
_CASES_OF_ADAPTERS = "tests/integration/adapters"
_PRODUCT = "lambdas/massive_upload"

TASK_CRASHES = f"{_CASES}/test_crashes.py"
EXECUTION_CRASHES = f"{_CASES}/test_execution_crashes.py"
LEFT_JOBS = f"{_CASES}/test_left_jobs.py"
REDRIVE = f"{_CASES}/test_redrive.py"
REENTRY = f"{_CASES}/test_reentry.py"
REPETITION = f"{_CASES}/test_repetition.py"
SETTLING = f"{_CASES}/test_settling.py"
TRIALS = f"{_CASES}/test_trials.py"
ZOMBIES = f"{_CASES}/test_zombies.py"


@dataclass(frozen=True, kw_only=True)
class Bug:
    """One bug.

    Attributes:
        name: what is wrong.
        path: the file that it is in.
        right: what the file says.
        wrong: what it says with the bug.
        caught_by: the test that fails, as pytest names it.
    """

    name: str
    path: str
    right: str
    wrong: str
    caught_by: str


BUGS = (
    Bug(
        name="the cursor moves when a batch is staged, before it is settled",
        path=f"{_PRODUCT}/adapters/dynamodb_lanes.py",
        right='put={place: batch.number, "next_batch": batch.number + 1}, add',
        wrong='put={place: batch.number, "next_batch": batch.number + 1, "cursor": batch.next_cursor}, add',
        caught_by=f"{TRIALS}::test_any_load_keeps_the_promise",
    ),
    Bug(
        name="a job that is still Open is uploaded to a second time",
        path=f"{_PRODUCT}/usecases/upload_batch.py",
        right="""        bulk.abort(job.id)
        log(Marker.WARNING, Event.JOB_GIVEN_UP)
        return False
""",
        wrong="""        bulk.upload(job.id, services.files.read(batch.file_key))
        bulk.close(job.id)
        return True
""",
        caught_by=f"{REENTRY}::test_upload_batch_goes_on_after_a_crash_and_never_uploads_twice_to_one_job",
    ),
    Bug(
        name="a job that is still Open is adopted, though it may be empty",
        path=f"{_PRODUCT}/usecases/upload_batch.py",
        right="""        bulk.abort(job.id)
        log(Marker.WARNING, Event.JOB_GIVEN_UP)
        return False
""",
        wrong="""        bulk.close(job.id)
        return True
""",
        caught_by=TASK_CRASHES,
    ),
    Bug(
        name="a job that somebody has deleted is taken for the one in flight",
        path=f"{_PRODUCT}/usecases/check_job.py",
        right="if batch.state is not BatchState.SUBMITTED or batch.job_id != step.job_id:",
        wrong="if batch.state is not BatchState.SUBMITTED:",
        caught_by=f"{REENTRY}::test_check_job_takes_no_other_job_for_the_one_in_flight",
    ),
    Bug(
        name="a job is uploaded and closed before it is recorded",
        path=f"{_PRODUCT}/usecases/upload_batch.py",
        right="""    created = store.record_job(partition, batch, job.id, services.org.heartbeat())
    follow(created)
    bulk.upload(job.id, content)
    check_holder(store.lease(config.lease_key), partition.run_id, config.lease_key)
    _close(bulk, job.id)
""",
        wrong="""    bulk.upload(job.id, content)
    check_holder(store.lease(config.lease_key), partition.run_id, config.lease_key)
    _close(bulk, job.id)
    created = store.record_job(partition, batch, job.id, services.org.heartbeat())
    follow(created)
""",
        caught_by=f"{TRIALS}::test_any_load_keeps_the_promise",
    ),
    Bug(
        name="counts are added a second time when a batch is settled again",
        path=f"{_PRODUCT}/adapters/dynamodb_lanes.py",
        right="""            equals("open_batch", batch.number) & _has_ahead(partition.ahead_batch),
            also=[self._batch_change(batch, settled)],
""",
        wrong="""            also=[],
""",
        caught_by=f"{_CASES_OF_ADAPTERS}/test_partitions.py::test_a_settled_batch_is_not_counted_twice",
    ),
    Bug(
        name="the writes of a slice do not ask for its claim",
        path=f"{_PRODUCT}/adapters/dynamodb_lanes.py",
        right='is_this_claim = equals("epoch", partition.epoch)',
        wrong='is_this_claim = Condition(clauses=["attribute_exists(pk)"])',
        caught_by=f"{REPETITION}::test_a_task_whose_partition_is_claimed_anew_in_the_middle_is_fenced_out",
    ),
    Bug(
        name="a claim does not raise the epoch",
        path="infra/workflow/slice.py",
        right='update="SET epoch = epoch + :one, #status = :running, last_progress_at = :entered_at"',
        wrong='update="SET #status = :running, last_progress_at = :entered_at ADD claims :one"',
        caught_by=f"{REENTRY}::test_a_slice_whose_partition_was_claimed_anew_does_nothing",
    ),
    Bug(
        name="rows are read again after they were staged",
        path=f"{_PRODUCT}/usecases/fetch_page.py",
        right="""    if batch is None and partition.kept_list is None:
""",
        wrong="""    if partition.kept_list is None:
        batch = None
""",
        caught_by=f"{REENTRY}::test_fetch_page_gives_back_the_open_batch_and_reads_nothing",
    ),
    Bug(
        name="a FetchPage that was overtaken by its own retry starts the lane anew",
        path=f"{_PRODUCT}/adapters/dynamodb_lanes.py",
        right='return has("query_id", partition.query_id) & equals("next_batch", partition.next_batch)',
        wrong='return Condition(clauses=["attribute_exists(pk)"])',
        caught_by=f"{ZOMBIES}::test_a_task_that_wakes_up_after_its_lane_has_ended_changes_nothing",
    ),
    Bug(
        name="a truncated result file is believed",
        path=f"{_PRODUCT}/usecases/job_outcome.py",
        right="if not lists.agree_with(counters, batch.rows):",
        wrong="if counters.failed is None:",
        caught_by=f"{SETTLING}::test_a_result_file_that_was_cut_is_not_believed",
    ),
    Bug(
        name="a job that is complete is taken for one without failures",
        path=f"{_PRODUCT}/usecases/job_outcome.py",
        right="_has_tried_all(batch, counters) and counters.failed == 0",
        wrong="_has_tried_all(batch, counters)",
        caught_by=f"{SETTLING}",
    ),
    Bug(
        name="the lease is ignored",
        path=f"{_PRODUCT}/usecases/upload_batch.py",
        right="if lease is None or lease.run_id != run_id:",
        wrong="if lease is None:",
        caught_by=f"{REENTRY}::test_a_run_that_lost_its_target_creates_and_closes_no_job",
    ),
    Bug(
        name="a run that has left jobs behind gives its target back",
        path=f"{_PRODUCT}/usecases/finish_run.py",
        right="*([run.lease_key] if account.unsettled else ())",
        wrong="*()",
        caught_by=f"{LEFT_JOBS}::test_a_job_that_the_org_does_not_abort_is_waited_for_and_its_rows_are_settled",
    ),
    Bug(
        name="the next run begins while a batch of an aborted job may write",
        path=f"{_PRODUCT}/usecases/drain.py",
        right="if seconds >= ABORTED_JOB_SECONDS or batch.aborted_looks >= _ABORTED_LOOKS:",
        wrong="if True:",
        caught_by=f"{LEFT_JOBS}::"
        "test_a_batch_that_goes_on_although_its_job_was_aborted_writes_nothing_over_the_next_run",
    ),
    Bug(
        name="rejected rows are written after their batch is settled",
        path=f"{_PRODUCT}/usecases/settle_batch.py",
        right="""        files=services.files,
        tries=batch.sent_before + 1,
    ).following()
    is_settled = following.state is BatchState.SETTLED
    record = services.store.settle_batch if is_settled else services.store.plan_next_attempt
    pace, reason = _next_pace(partition, batch, outcome, load)
    notes = LaneNotes(
        failures=_failures(partition, following, outcome, counters, load),
        pace=pace,
        hot_parents=_hot_parents(partition, outcome, content, config),
        job_seconds=_unqueued_seconds(partition, batch, counters) if _is_typical(batch, outcome) else None,
        work=_work(partition, batch, outcome, counters),
    )
    beat = services.org.heartbeat(uncounted_requests=counters.api_requests)
    record(partition, batch, following, notes=notes, beat=beat)
""",
        wrong="""        files=type(
            "Late",
            (),
            {
                "late": (late := []),
                "write": lambda self, key, content: self.late.append((key, content)),
                "read": lambda self, key: services.files.read(key),
            },
        )(),
        tries=batch.sent_before + 1,
    ).following()
    is_settled = following.state is BatchState.SETTLED
    record = services.store.settle_batch if is_settled else services.store.plan_next_attempt
    pace, reason = _next_pace(partition, batch, outcome, load)
    notes = LaneNotes(
        failures=_failures(partition, following, outcome, counters, load),
        pace=pace,
        hot_parents=_hot_parents(partition, outcome, content, config),
        job_seconds=_unqueued_seconds(partition, batch, counters) if _is_typical(batch, outcome) else None,
        work=_work(partition, batch, outcome, counters),
    )
    beat = services.org.heartbeat(uncounted_requests=counters.api_requests)
    record(partition, batch, following, notes=notes, beat=beat)
    for key, content in late:
        services.files.write(key, content)
""",
        caught_by=TASK_CRASHES,
    ),
    Bug(
        name="an older run overwrites what a newer one has shown",
        path=f"{_PRODUCT}/usecases/finish_run.py",
        right="shown=shown if shown is not None and shown.may_replace(shown_before) else None,",
        wrong="shown=shown,",
        caught_by=f"{_CASES}/test_shown.py",
    ),
    Bug(
        name="the sweep sends the whole batch of a row that was given up",
        path=f"{_PRODUCT}/usecases/attempt.py",
        right="kept = content.with_errors(errors, tries=self.tries)",
        wrong="""kept = content.with_errors(
                {number: next(iter(errors.values())) for number in range(batch.rows)}, tries=self.tries
            )""",
        caught_by=EXECUTION_CRASHES,
    ),
    Bug(
        name="what an attempt has settled is sent again with the next",
        path=f"{_PRODUCT}/usecases/attempt.py",
        right="        again = self.plan.again\n",
        wrong="        again = set(range(self.batch.rows)) - set(self.plan.rejected)\n",
        caught_by=f"{SETTLING}",
    ),
    Bug(
        name="a plan that was overtaken is mixed with the one that counts",
        path=f"{_PRODUCT}/usecases/planning/begin.py",
        right="""        write_plan(self._services.tasks.files, planned, lanes, estimate)
""",
        wrong="""        write_plan(self._services.tasks.files, planned, lanes, estimate)
        self._store.create_partitions(planned, lanes)
""",
        caught_by=f"{_CASES}/test_plan_run.py::test_a_plan_that_was_half_written_is_not_mixed_with_the_next",
    ),
    Bug(
        name="two tasks keep the rows that they give up in one file",
        path=f"{_PRODUCT}/domain/file_keys.py",
        right="-{uuid4().hex}.csv",
        wrong=".csv",
        caught_by=f"{ZOMBIES}::test_two_settlings_under_one_claim_never_write_the_same_file",
    ),
    Bug(
        name="a repeated PlanSweep takes the sweep from the slice that works on it",
        path=f"{_PRODUCT}/adapters/dynamodb_lanes.py",
        right='"status": PartitionStatus.RUNNING if is_at_work else PartitionStatus.PENDING,',
        wrong='"status": PartitionStatus.PENDING,',
        caught_by=f"{REDRIVE}::test_entering_every_task_of_a_load_twice_is_harmless",
    ),
    Bug(
        name="an old execution that is finished late takes lanes from the one that goes on",
        path=f"{_PRODUCT}/adapters/dynamodb_lanes.py",
        right="            self._change_partition(partition, change, also=[self._is_carried_out_by"
        "(partition.run_id, execution_arn)])\n",
        wrong="            self._change_partition(partition, change)\n",
        caught_by=f"{REDRIVE}::test_an_execution_that_is_finished_while_another_resumes_its_run_holds_nobody_up",
    ),
    Bug(
        name="a settling that is repeated late takes the next job for the one that has ended",
        path=f"{_PRODUCT}/usecases/settle_batch.py",
        right=" or counters is None or counters.job_id != batch.job_id:",
        wrong=" or counters is None:",
        caught_by=f"{_CASES}/test_overlap.py",
    ),
    Bug(
        name="a run is resumed after another has written to its target",
        path=f"{_PRODUCT}/usecases/planning/resume.py",
        right="            self._check_not_overtaken(run, lease)\n",
        wrong="",
        caught_by=f"{_CASES}/test_plan_run.py::test_a_run_cannot_be_resumed_once_another_has_written_to_its_target",
    ),
    Bug(
        name="rows of a job in flight are left out of the account",
        path=f"{_PRODUCT}/domain/account.py",
        right="unsettled += batch.rows if batch.has_job else 0",
        wrong="unsettled += 0",
        caught_by="tests/unit/domain/test_account.py",
    ),
)
