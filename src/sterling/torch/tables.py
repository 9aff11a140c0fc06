"""Reports: sentences and a table of tensors, for a terminal of any width and for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

from sterling.base.text import NO_BREAK, percent

_WIDTH = 118  # letters, unless the output is a terminal
_BETWEEN = 3  # letters between two columns

Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # titles and rows


def readable(share: float) -> str:
    """Return a share in per cent with one decimal, and a small one with two significant digits."""
    return percent(share, 1) if share == 0 or share >= 0.01 else f"{100 * share:.2g}{NO_BREAK}%"


class Report:
    """Base of reports: sentences, a table, and further sentences."""

    def parts(self) -> tuple[Sequence[str], Table, Sequence[str]]:
        """Return sentences, the table, and further sentences."""
        raise NotImplementedError

    def __rich_console__(self, console: Any, options: Any) -> Any:
        from rich.text import Text

        before, table, after = self.parts()
        yield from map(Text, before)
        yield from _grids(*table, options.max_width)
        yield from map(Text, after)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=_WIDTH, force_jupyter=False, color_system=None)
        with console.capture() as text:
            console.print(self)
        return "\n".join(line.rstrip() for line in text.get().splitlines())

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.parts()[0][0]}>"


def _grids(titles: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> Iterator[Any]:
    """Yield a table for Rich, or, if it is too wide, a block of names and values for each row."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    columns = list(zip(titles, *rows, strict=True))
    longest = [max(len(word) for cell in column for word in ["", *cell.split()]) for column in columns]
    widths = [max(map(len, column)) for column in columns]
    most -= _BETWEEN * len(columns)
    if sum(longest) <= most:
        while sum(widths) > most:  # rich would break words
            slack = [width - word for width, word in zip(widths, longest, strict=True)]
            widths[slack.index(max(slack))] -= 1
        grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        for (title, *cells), width in zip(columns, widths, strict=True):
            justify = "left" if any(cell[:1].isalpha() for cell in cells) else "right"
            grid.add_column(title, justify=justify, width=width)
        for row in rows:
            grid.add_row(*map(Text, row))
        yield grid
        return
    for row in rows:
        block = Grid.grid(padding=(0, 2))
        for title, cell in zip(titles, row, strict=True):
            block.add_row(title, Text(cell, overflow="fold"))
        yield Text()
        yield block
