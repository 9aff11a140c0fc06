"""The method `plot` of results; the functions that draw lie in rooms above, which are loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from sterling.base.checks import choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Drawn:
    """Base of what can be drawn."""

    #: A module, and its functions (ax, result) -> caption; the first one draws if none is named.
    _pictures: ClassVar[tuple[str, tuple[str, ...]]]

    def plot(self, ax: Axes | None = None, what: str = "") -> Axes:
        """Draw this object.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure of pyplot, which a notebook shows.
        what : str
            The picture, by default the first of these. `Orbit`: "errors_over_time", "flip_raster" of the most
            active weights, "ergodic_mean" of each weight. `Landscape`: "loss_by_distance". `Certificate`:
            "proved_shares" of each weight. `Study`: "grid" of its cells. `Store`: "shares" of successes,
            "regimes". `SeriesFit`: "success_curves", "threshold_law". `OrbitMonitor`: "flip_ratio" of each
            tensor.

        Returns
        -------
        matplotlib.axes.Axes
            The axes; their attribute ``caption`` says in words what the picture shows.

        Raises
        ------
        InputError
            If this object has no such picture, or nothing to draw.

        Examples
        --------
        >>> import sterling as st
        >>> ax = st.train(st.Problem(n=8, samples=200).draw(seed=0), steps=1000).plot()
        >>> ax.get_ylabel(), ax.caption
        ('wrong weights (number)', 'No weight flips after step 6, and none ever will: 0 of 8 are wrong.')
        """
        module, names = self._pictures
        draw = getattr(import_module(module), choice(what or names[0], "what", names))
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.figure(layout="constrained").add_subplot()
        ax.caption = draw(ax, self)  # type: ignore[attr-defined]
        return ax
