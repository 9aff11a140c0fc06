"""Names for things that users bring themselves: surrogates, input families, kinds of trial.

A registry maps names to things. What is built in stands first; `register` adds a thing of the user's, and a
package adds its own through an entry-point group, which is read once, when a name is not known.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from threading import RLock
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from sterling.base.checks import shown
from sterling.errors import InputError, InputTypeError, SterlingWarning

T = TypeVar("T")

_ALL: list[Registry[Any]] = []


class Registry(Mapping[str, T], Generic[T]):
    """Things of one sort by their names, in the order in which they came.

    A thing has a ``name``, and belongs here if ``takes`` says so. ``noun`` and ``group`` are what one is
    called in messages and the entry-point group of packages. What is ``built_in`` cannot be replaced;
    ``modules`` names further built-in things: each stands in the module, under the noun's first word in
    capitals, which is imported when it is asked for.
    """

    def __init__(
        self,
        noun: str,
        group: str,
        takes: Callable[[Any], bool],
        built_in: Iterable[Any] = (),
        modules: Mapping[str, str] = MappingProxyType({}),
    ):
        self.noun, self.group, self.takes = noun, group, takes
        self.one = f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
        self._things: dict[str, T] = {thing.name: thing for thing in built_in}
        self._modules = modules
        self._built_in = frozenset((*self._things, *modules))
        self._lock, self._read = RLock(), False
        _ALL.append(self)

    def add(self, thing: T) -> T:
        """Keep a thing under its name; one of the user's may be replaced, what is built in may not."""
        name = getattr(thing, "name", None)
        if not isinstance(name, str) or not name.isidentifier():
            raise InputError(
                f"the name of {self.one} is {shown(name)}; it must be letters, digits and underscores"
            )
        if name in self._built_in and self._things.get(name) is not thing:
            raise InputError(f"{name!r} is {self.one} of sterling's own: give yours another name")
        self._things[name] = thing
        return thing

    def find(self, name: Any) -> T:
        """Return the thing of that name, or raise InputError with the known names and the nearest."""
        if not isinstance(name, str):
            kinds = ", ".join(self)
            raise InputTypeError(f"the {self.noun} is {shown(name)}; give a name out of {kinds}")
        if name in self._modules and name not in self._things:
            self._things[name] = getattr(import_module(self._modules[name]), self.noun.split()[0].upper())
        if name not in self._things:
            self._read_entry_points()
        if name in self._things:
            return self._things[name]
        near = difflib.get_close_matches(name.lower(), tuple(self), n=1)
        own = " One of your own must be registered in each process that uses it."
        hint = f" Did you mean {near[0]!r}?" if near else own
        raise InputError(f"unknown {self.noun} {shown(name)}; known: {', '.join(self)}.{hint}")

    def is_built_in(self, name: str) -> bool:
        """Whether a name is that of one of sterling's own, which every process knows."""
        return name in self._built_in

    def _read_entry_points(self) -> None:
        from importlib.metadata import entry_points  # slow to import, and seldom needed

        with self._lock:
            if self._read:
                return
            self._read = True
            for point in entry_points(group=self.group):
                try:
                    thing = point.load()
                    if not self.takes(thing):
                        raise InputTypeError(f"it is no {self.noun}")
                    self.add(thing)
                except Exception as problem:  # whatever the package of a stranger does
                    text = f"the {self.noun} {point.name!r} of {point.value} cannot be used: {problem}"
                    warnings.warn(text, SterlingWarning, stacklevel=4)

    def __getitem__(self, name: str) -> T:
        if name in self._modules:
            return self.find(name)
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._modules, *self._things)))

    def __repr__(self) -> str:
        return f"<{self.noun} by name: {', '.join(self)}>"


def register(thing: T) -> T:
    """Make a surrogate, an input family or a kind of trial usable by its name everywhere.

    Parameters
    ----------
    thing : Surrogate, subclass of Family, or Kind
        It has a ``name``. One of that name that was registered before is replaced.

    Returns
    -------
    thing
        As it was given, so that `register` can decorate a class.

    Raises
    ------
    InputError
        If it is none of these (`InputTypeError`), or has the name of one of sterling's own.

    Notes
    -----
    A process of its own, such as a worker of a cluster, knows only what was registered in it. A package makes
    its things known in each process by entry points in the groups ``sterling.surrogates``,
    ``sterling.families`` and ``sterling.kinds``.

    Examples
    --------
    >>> import sterling as st
    >>> st.register(st.Surrogate("wide_relu", window=(0, 2)))
    get_surrogate('wide_relu')
    >>> st.Problem(n=4, samples=20).draw(seed=0).gradient([1, -1, 1, 1], "wide_relu").shape
    (4,)
    """
    for registry in _ALL:
        if registry.takes(thing):
            return registry.add(thing)
    kinds = ", ".join(registry.one for registry in _ALL)
    raise InputTypeError(f"{shown(thing)} cannot be registered: give {kinds}")
