"""Tables of names and figures, all of one look."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table


def figures_table(title: str, figures: Iterable[tuple[str, str]] = ()) -> Table:
    """A table of names and figures."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(min_width=48)
    table.add_column(justify="right", min_width=10)
    for name, figure in figures:
        table.add_row(name, figure)
    return table
