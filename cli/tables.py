"""Tables of names and figures, all of one look."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.printable import printable

_NAME_WIDTH = 48
_FIRST_OF_SEVERAL_WIDTH = 30
_FIGURE_WIDTH = 10
_ANY_WIDTH = 10_000


def figures_table(title: str, rows: Iterable[tuple[str, ...]], *, headers: Sequence[str] = ()) -> Table:
    """A table of names, each with its figures, as wide as others of its kind wherever that fits.

    Where it does not, names are broken into lines, then ranges of figures; no figure is cut. Names are filled with
    blanks for that: the least width of a column would be kept at the cost of those beside it.

    Args:
        title: of the table.
        rows: a name, which may be a text of a record, and a figure for each header; one figure where there are no
            headers.
        headers: of the figures.
    """
    table = Table(title=title, title_justify="left", title_style="bold", show_header=bool(headers))
    table.add_column()
    for header in headers or ("",):
        table.add_column(header, justify="right", overflow="fold", min_width=None if headers else _FIGURE_WIDTH)
    name_width = _FIRST_OF_SEVERAL_WIDTH if headers else _NAME_WIDTH
    for name, *figures in rows:
        table.add_row(Text(f"{printable(name):<{name_width}}"), *figures)
    return table


def table_that_fits(
    console: Console,
    new_table: Callable[[], Table],
    rows: Sequence[Mapping[str, Text]],
    stacks: Sequence[Sequence[str]],
    *,
    whole: Collection[str],
    whole_of_stacks: Collection[str],
    figures: Collection[str],
) -> Table:
    """A table with a column for each cell of a row; where room is short, one with several cells in a column.

    Args:
        console: has the room.
        new_table: makes one without columns and rows.
        rows: the cells of each, by name; at least one row.
        stacks: for each column of the narrow table, the names of its cells, one below the other.
        whole: what the wide table does not break into lines, by name.
        whole_of_stacks: the same of the narrow one, by the name of the first cell of a column.
        figures: the names of cells that are figures, which are broken nowhere.
    """
    table = _filled(new_table(), rows, [[name] for name in rows[0]], whole=whole, figures=figures)
    if fits(table, console):
        return table
    return _filled(new_table(), rows, stacks, whole=whole_of_stacks, figures=figures)


def fits(table: Table, console: Console) -> bool:
    """Whether a console has room for all that is in a table; else rich cuts, or breaks, what it holds."""
    needed = console.measure(table, options=console.options.update(max_width=_ANY_WIDTH)).maximum
    return needed <= console.width


def _filled(
    table: Table,
    rows: Iterable[Mapping[str, Text]],
    columns: Sequence[Sequence[str]],
    *,
    whole: Collection[str],
    figures: Collection[str],
) -> Table:
    for names in columns:
        is_figure = names[0] in figures
        table.add_column(
            "\n".join(names),
            justify="right" if is_figure else "left",
            no_wrap=is_figure or names[0] in whole,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(_one_below_the_other([row[name] for name in names]) for names in columns))
    return table


def _one_below_the_other(cells: Sequence[Text]) -> Text:
    text = Text("\n").join(cells)
    text.rstrip()
    return text
