"""Pictures: functions that draw into an ``ax`` and return a caption; results have them as `plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sterling.base.lazy import lazily

if TYPE_CHECKING:
    from sterling.plot.style import column as column
    from sterling.plot.style import save_figure as save_figure

__getattr__, __dir__, __all__ = lazily(globals())
