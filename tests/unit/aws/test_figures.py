from local.aws.figures import Figures, Ledger


def test_entering_a_state_and_a_retry_are_transitions_and_other_events_are_not():
    figures = Ledger().open(arn="a", name="n", machine="m")
    for event in ("ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStateExited"):
        figures.count_event(event)
    figures.count_retry()
    assert (figures.events, figures.transitions) == (4, 2)


def test_totals_are_over_all_executions_and_the_longest_is_named_by_its_events():
    ledger = Ledger()
    for count in (3, 5):
        execution = ledger.open(arn=str(count), name=str(count), machine="m")
        for _ in range(count):
            execution.count_event("PassStateEntered")
    figures = Figures(ledger.executions(), {}, {})
    assert (figures.state_transitions, figures.max_history_events) == (8, 5)


def test_without_executions_everything_is_zero():
    figures = Figures([], {}, {})
    assert (figures.state_transitions, figures.max_history_events) == (0, 0)
