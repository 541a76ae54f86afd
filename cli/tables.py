"""Tables of names and figures, all of one look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

_NAME_WIDTH = 48
_FIRST_OF_SEVERAL_WIDTH = 30
_FIGURE_WIDTH = 10


def figures_table(title: str, rows: Iterable[tuple[str, ...]], *, headers: Sequence[str] = ()) -> Table:
    """A table of names, each with its figures, as wide as others of its kind wherever that fits.

    Where it does not, names are broken into lines, then ranges of figures; no figure is cut. Names are filled with
    blanks for that: the least width of a column would be kept at the cost of those beside it.

    Args:
        title: of the table.
        rows: a name and a figure for each header; one figure where there are no headers.
        headers: of the figures.
    """
    table = Table(title=title, title_justify="left", title_style="bold", show_header=bool(headers))
    table.add_column()
    for header in headers or ("",):
        table.add_column(header, justify="right", overflow="fold", min_width=None if headers else _FIGURE_WIDTH)
    name_width = _FIRST_OF_SEVERAL_WIDTH if headers else _NAME_WIDTH
    for name, *figures in rows:
        table.add_row(Text(f"{name:<{name_width}}"), *figures)
    return table
