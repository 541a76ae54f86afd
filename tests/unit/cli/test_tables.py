from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from cli.tables import figures_table

FIGURES = ("12,158", "1,234,567", "120 to 1,260")
ROWS = [("rejected (kept with their reason)", FIGURES[0]), ("events of the longest execution (limit)", FIGURES[1])]
PAIRS = [("Bulk API 2.0 jobs", FIGURES[2], FIGURES[0]), ("state transitions", FIGURES[2], FIGURES[1])]


def lines_of(table: Table, width: int) -> list[str]:
    written = StringIO()
    Console(file=written, width=width).print(table)
    return [line.rstrip() for line in written.getvalue().splitlines()]


@pytest.mark.parametrize("width", [48, 60, 64, 80])
def test_no_figure_is_cut_or_broken_where_the_terminal_is_narrow(width):
    text = "\n".join(lines_of(figures_table("the account", ROWS), width))
    assert all(figure in text for figure in FIGURES[:2])
    text = "\n".join(lines_of(figures_table("plan", PAIRS, headers=("planned", "came to")), width))
    assert all(figure in text for figure in FIGURES)


def test_a_range_that_does_not_fit_goes_on_in_the_next_line():
    lines = lines_of(figures_table("plan", PAIRS[:1], headers=("planned", "came to")), 36)
    cells = [line.split("│")[2] for line in lines if "│" in line]
    assert " ".join(cells).split() == FIGURES[2].split()


def test_tables_are_of_one_width_where_the_terminal_is_wide_enough():
    few, many = figures_table("few", [("rows", "1")]), figures_table("many", ROWS)
    assert len(lines_of(few, 80)[1]) == len(lines_of(many, 80)[1])
