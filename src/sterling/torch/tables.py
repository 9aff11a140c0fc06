"""Sentences and a table of tensors, as a terminal of any width and a notebook show them."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import Any

_WIDTH = 118  # letters, where the output is no terminal


class Table:
    """Rows under titles; where a terminal is too narrow, a block of names and values for each row."""

    def __init__(self, titles: Sequence[str], rows: Sequence[Sequence[str]]):
        self.titles, self.rows = titles, rows

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """Give Rich what it prints."""
        from rich import box
        from rich.table import Table as Grid
        from rich.text import Text

        words = [
            max(len(word) for cell in column for word in ["", *cell.split()])
            for column in zip(self.titles, *self.rows, strict=True)
        ]
        if sum(words) + 2 * len(words) <= options.max_width:
            grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
            for place, (title, *cells) in enumerate(zip(self.titles, *self.rows, strict=True)):
                numbers = not any(cell[:1].isalpha() for cell in cells)
                justify = "right" if numbers else "left"
                grid.add_column(title, overflow="fold", justify=justify, no_wrap=place == 0)  # the name
            for row in self.rows:
                grid.add_row(*map(Text, row))
            yield grid
            return
        for row in self.rows:
            block = Grid.grid(padding=(0, 2))
            for title, cell in zip(self.titles, row, strict=True):
                block.add_row(title, Text(cell, overflow="fold"))
            yield Text()
            yield block

    def to_html(self) -> str:
        """Return the table of HTML, escaped."""
        head = "".join(f"<th>{html.escape(one)}</th>" for one in self.titles)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class Told:
    """What has sentences to say before and after a table; subclasses give all three by `told`."""

    def told(self) -> tuple[Sequence[str], Table, Sequence[str]]:
        """Return what there is to say.

        Returns
        -------
        before, table, after : list of str, Table, list of str
            Sentences, the table, and further sentences.
        """
        raise NotImplementedError

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """Give Rich what it prints."""
        from rich.text import Text

        before, table, after = self.told()
        yield from map(Text, before)
        yield table
        yield from map(Text, after)

    def __str__(self) -> str:
        from rich.console import Console

        file = io.StringIO()
        Console(file=file, width=_WIDTH).print(self)
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())

    def _repr_html_(self) -> str:
        before, table, after = self.told()
        first, last = ("".join(f"<p>{html.escape(one)}</p>" for one in said) for said in (before, after))
        return first + table.to_html() + last
