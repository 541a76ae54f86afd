from io import StringIO

import pytest
from rich.console import Console

from cli.progress import ProgressDisplay, Rates, duration_text, progress_line, progress_view
from cli.snapshot import MOST_ACTIVE_LANES, Snapshot
from massive_upload.domain.progress import PartitionStatus
from tests.unit.cli.progress_examples import a_lane, lanes


def text_of(snapshot: Snapshot, rates: Rates, *, width: int = 140) -> str:
    written = StringIO()
    console = Console(file=written, width=width)
    console.print(progress_view(snapshot, rates, console))
    return written.getvalue()


def rates_of(*snapshots: tuple[float, Snapshot]) -> Rates:
    rates = Rates()
    for at_seconds, snapshot in snapshots:
        rates.note(snapshot, at_seconds=at_seconds)
    return rates


def test_rate_and_time_left_come_from_what_was_settled_lately():
    before, after = Snapshot(lanes=(a_lane(settled=20),)), Snapshot(lanes=(a_lane(settled=60),))
    rates = rates_of((0, before), (10, after))

    assert rates.rows_per_second(after.lanes[0]) == 4
    assert rates.seconds_left(after.lanes[0]) == 10


def snapshot_with(*settled: int, rows: tuple[int, ...] = (10, 1_000, 1_000)) -> Snapshot:
    pairs = enumerate(zip(rows, settled, strict=True))
    return Snapshot(lanes=tuple(a_lane(f"{n:04d}", rows=size, settled=done) for n, (size, done) in pairs))


@pytest.mark.parametrize(
    ("before", "after", "is_foreseen"),
    [
        ((0, 0, 0), (10, 0, 0), False),
        ((0, 0, 0), (10, 20, 0), False),
        ((0, 0, 0), (10, 20, 20), True),
        ((0, 0, 0), (0, 300, 0), True),
        ((0, 900, 900), (10, 900, 900), False),
        ((10, 900, 900), (10, 901, 901), True),
    ],
    ids=["one small lane", "one lane has not", "each lane", "more than a tenth", "resumed", "resumed, each lane"],
)
def test_how_long_all_will_take_is_told_once_enough_has_been_done(before, after, is_foreseen):
    first, now = snapshot_with(*before), snapshot_with(*after)
    rates = rates_of((0, first), (10, now))

    assert (rates.seconds_left_of_all(now) is not None) is is_foreseen
    assert (" left" in progress_line(now, rates)) is is_foreseen


def test_what_was_shown_as_settled_stays_so_until_another_run_is_shown():
    written = StringIO()
    with ProgressDisplay(Console(file=written, width=140)) as display:
        for at_seconds, run_id, settled in ((0, "a", 50), (10, "a", 40), (20, "a", 60), (30, "b", 5)):
            lane = a_lane(settled=settled, succeeded=settled)
            display.show(
                Snapshot(run_id=run_id, lanes=(lane, a_lane("0001", settled=at_seconds))), at_seconds=at_seconds
            )

    told = [line.split(" of ")[0] for line in written.getvalue().splitlines()]
    assert told == ["50", "60", "80", "35"]


def test_a_rate_forgets_what_is_long_past():
    slow, same, fast = (Snapshot(lanes=(a_lane(rows=9_999, settled=rows),)) for rows in (0, 10, 1_010))
    rates = rates_of((0, slow), (1_000, same), (1_010, same), (1_020, fast))

    assert rates.rows_per_second(fast.lanes[0]) == 50


def test_a_lane_that_does_not_move_has_no_time_left():
    snapshot = Snapshot(lanes=(a_lane(settled=20),))

    assert rates_of((0, snapshot), (10, snapshot)).seconds_left(snapshot.lanes[0]) is None
    assert rates_of((0, snapshot)).seconds_left(snapshot.lanes[0]) is None


def test_the_view_shows_each_lane_and_the_total():
    snapshot = Snapshot(
        lanes=(
            a_lane(rows=2_000, settled=2_000, status=PartitionStatus.COMPLETED),
            a_lane("0001", rows=2_000, settled=1_000, succeeded=990, rejected=10),
        ),
        sweep=a_lane("sweep", rows=5),
    )

    text = text_of(snapshot, rates_of((0, snapshot)))

    assert "2,000 / 2,000" in text
    assert "99.00 %" in text
    assert "3,000 / 4,000" in text
    assert "1 running, 1 completed" in text
    assert any(line.startswith("sweep") for line in text.splitlines())


def large_run(settled: int) -> Snapshot:
    return Snapshot(
        lanes=(
            *(a_lane(f"{n:04d}", rows=1_200_000, settled=settled + n) for n in range(12)),
            a_lane("0012", rows=90_000_000, status=PartitionStatus.PENDING),
        ),
        sweep=a_lane("sweep", rows=5, settled=5, status=PartitionStatus.COMPLETED),
    )


def test_on_80_columns_no_figure_lane_or_status_is_cut():
    before, now = large_run(0), large_run(20_000)
    lines = text_of(now, rates_of((0, before), (10, now)), width=80).splitlines()

    cells = [line.replace("━", "").replace("╸", "").replace("╺", "").split() for line in lines]
    assert ["0011", *["20,011", "/", "1,200,000", "2,000", "100.00", "%", "9", "min", "50", "s", "Running"]] in cells
    assert ["sweep", *["5", "/", "5", "100.00", "%", "Completed"]] in cells
    assert ["all", *["240,066", "/", "104,400,000", "24,000", "100.00", "%"]] in cells
    assert lines[-1].rstrip() == "1 pending, 12 running"
    assert any("━" in line for line in lines)
    assert "…" not in "".join(lines)


def test_where_no_table_has_room_all_is_told_in_a_line():
    before, now = large_run(0), large_run(20_000)
    text = " ".join(text_of(now, rates_of((0, before), (10, now)), width=40).split())

    assert text.startswith("240,066 of 104,400,000 rows (0 %), 24,000 rows/s, 100.00 % succeeded")


def test_of_many_lanes_the_view_shows_those_at_work_only():
    pending, running = lanes(900, status=PartitionStatus.PENDING).lanes, lanes(100).lanes

    lines = text_of(Snapshot(lanes=(*running, *pending)), Rates()).splitlines()

    assert len(lines) == MOST_ACTIVE_LANES + 2  # the header and the total
    assert "900 pending, 100 running" in lines[-1]


def test_the_line_says_how_far_how_fast_and_how_well():
    before = Snapshot(lanes=(a_lane(settled=0), a_lane("0001", status=PartitionStatus.PENDING)))
    after = Snapshot(lanes=(a_lane(settled=50, succeeded=49, rejected=1), before.lanes[1]))

    line = progress_line(after, rates_of((0, before), (10, after)))

    assert line == "50 of 200 rows (25 %), 5 rows/s, 98.00 % succeeded, 1 pending, 1 running, 30 s left"


def test_lanes_that_cannot_go_on_are_told():
    waiting = Snapshot(lanes=(a_lane(is_waiting=True), a_lane("0001", status=PartitionStatus.PENDING)))

    assert progress_line(waiting, Rates()).endswith(
        "1 pending, 1 running, waiting for the org or the schedule's window"
    )
    assert "Waiting" in text_of(waiting, Rates())


def test_nobody_knows_how_long_lanes_take_that_cannot_go_on():
    before, now = (Snapshot(lanes=(a_lane(settled=settled, is_waiting=True),)) for settled in (0, 50))

    assert rates_of((0, before), (10, now)).seconds_left_of_all(now) is None


def test_without_a_terminal_a_line_is_printed_every_few_seconds():
    written = StringIO()
    with ProgressDisplay(Console(file=written, width=40)) as display:
        for at_seconds, settled in ((0, 0), (0.25, 10), (4.9, 20), (5.1, 30), (9.9, 40), (10.2, 50)):
            display.show(Snapshot(lanes=(a_lane(settled=settled),)), at_seconds=at_seconds)

    told = [line.split(" of ")[0] for line in written.getvalue().splitlines()]
    assert told == ["0", "30", "50"]


def test_a_line_that_says_nothing_new_is_not_printed():
    written = StringIO()
    with ProgressDisplay(Console(file=written)) as display:
        for at_seconds in (0, 10, 20):
            display.show(lanes(3), at_seconds=at_seconds)
        display.show(Snapshot(), at_seconds=30)

    assert len(written.getvalue().splitlines()) == 1


def test_a_plan_that_takes_long_is_told_about():
    written = StringIO()
    with ProgressDisplay(Console(file=written)) as display:
        for at_seconds in (100, 129, 130, 131, 161):
            display.show(Snapshot(), at_seconds=at_seconds)
        display.show(lanes(1), at_seconds=162)
        for at_seconds in (163, 192):
            display.show(Snapshot(), at_seconds=at_seconds)

    told = written.getvalue().splitlines()
    assert told[:2] == ["planning, 30 s so far", "planning, 1 min 1 s so far"]
    assert told[2].startswith("0 of 100 rows")
    assert len(told) == 3, "the next run of a sequence has been planned for a moment alone"


def test_on_a_terminal_a_plan_is_told_about_at_once():
    written = StringIO()
    terminal = Console(file=written, width=120, force_terminal=True, _environ={"TERM": "xterm"})
    with ProgressDisplay(terminal) as display:
        display.show(Snapshot(), at_seconds=5)
        display.show(Snapshot(), at_seconds=7)

    assert "planning, 2 s so far" in written.getvalue()


def test_on_a_terminal_bars_are_drawn():
    written = StringIO()
    terminal = Console(file=written, width=120, force_terminal=True, _environ={"TERM": "xterm"})
    with ProgressDisplay(terminal) as display:
        display.show(lanes(2), at_seconds=0)
        display.say("something happened")

    assert "0 / 200" in written.getvalue()
    assert "something happened" in written.getvalue()


def test_a_terminal_that_cannot_redraw_gets_lines():
    written = StringIO()
    terminal = Console(file=written, width=120, force_terminal=True, _environ={"TERM": "dumb"})
    with ProgressDisplay(terminal) as display:
        display.show(lanes(2), at_seconds=0)

    assert "0 of 200 rows" in written.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (86_400 * 3 + 3_600 * 4 + 59, "3 d 4 h"),
    ],
)
def test_durations_read_like_speech(seconds, text):
    assert duration_text(seconds) == text
