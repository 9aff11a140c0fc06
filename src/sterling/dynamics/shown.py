"""How a run is shown; the functions that do it lie in rooms above, which are loaded on first use."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, cast

from sterling.base.drawn import Drawn
from sterling.base.text import counted
from sterling.optimizers.sgd import PLAIN_SGD

if TYPE_CHECKING:
    from sterling.dynamics.saved import Course
    from sterling.optimizers.base import Optimizer
    from sterling.optimizers.batch import Batch


class Shown(Drawn):
    """Base of `Orbit`: its pictures, its film, and the page on which it is made again."""

    _course: Course
    optimizer: Optimizer
    batch: Batch | None
    instance: dict

    @property
    def notes(self) -> list[str]:
        """What differs from what was asked for, in sentences."""
        whole = self._course.options.whole
        if whole is None:
            return []
        return [
            f"A batch of {counted(whole.size, 'sample')} without replacement is the full batch: every step "
            f"uses all {self.instance['samples']:,} samples."
        ]

    def explore(self, path: str | PathLike | None = None) -> str:
        """Open the explorable page with this run, which makes the same flips at the same steps there.

        Parameters
        ----------
        path : path, optional
            The HTML file to write; by default one in a new temporary folder.

        Returns
        -------
        str
            The address: the file, and the settings of the run after the #. Where no browser is found,
            nothing opens.

        Raises
        ------
        InputError
            If the page cannot make the run: its data were not drawn by a `Problem` with Gaussian inputs, it
            is too large, or its optimizer is not SGD, with or without damping.

        Examples
        --------
        >>> import sterling as st
        >>> orbit = st.train(st.Problem(n=8, samples=200, noise=0.5).draw(seed=3), steps=1000)
        >>> address = orbit.explore("run.html")  # doctest: +SKIP
        """
        return cast(str, import_module("sterling.report.explore").explore(self, path))

    def animate(self, path: str | PathLike, frames: int = 120, rate: int = 20) -> None:
        """Write a film of this run: its bits, and the number of wrong ones so far.

        Parameters
        ----------
        path : path
            The file: .gif.
        frames : int
            Pictures, 2 to 1000. Half of them show the first flips one by one, the others go on to the end in
            steps that grow.
        rate : int
            Pictures a second, 1 to 50.

        Raises
        ------
        InputError
            If the flips were not recorded, or the name does not end in .gif.
        StoreError
            If the file cannot be written.

        Examples
        --------
        >>> import sterling as st
        >>> orbit = st.train(st.Problem(n=8, samples=200).draw(seed=0), steps=1000)
        >>> orbit.animate("run.gif", frames=5)
        """
        import_module("sterling.plot.film").write(self, path, frames, rate)

    def _method(self) -> list[tuple[str, str]]:
        """Return optimiser and batches in words, where they are not the default."""
        rows = [] if self.optimizer == PLAIN_SGD else [("optimizer", str(self.optimizer))]
        if self.batch is not None:
            how = " with replacement" if self.batch.replace else ""
            rows.append(("batch", f"{counted(self.batch.size, 'sample')}{how}"))
        elif self._course.options.whole is not None:
            asked, there = self._course.options.whole.size, self.instance["samples"]
            more = f" ({asked:,} asked for)" if asked > there else ""
            rows.append(("batch", f"all {there:,} samples{more}"))
        return rows
