"""Objects with names: surrogates, optimisers, input families and kinds of trial, built in or the user's.

Each room keeps its own dictionary. `register` puts an object into the dictionary of its room; a package can
name its objects in an entry-point group instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from sterling.base.checks import shown
from sterling.errors import InputError, InputTypeError

T = TypeVar("T")

_ALL: list[Registry[Any]] = []


class Registry(dict[str, T], Generic[T]):
    """Objects of one kind by name: those that ``takes`` accepts. Built-in ones cannot be replaced.

    ``noun`` is the word for one in messages, ``group`` the entry-point group of packages. ``modules`` has the
    modules of built-in objects that load on first use. There the object has the name of the noun's first word
    in capitals, such as OPTIMIZER.
    """

    def __init__(
        self,
        noun: str,
        group: str,
        takes: Callable[[Any], bool],
        built_in: Iterable[Any] = (),
        modules: Mapping[str, str] = MappingProxyType({}),
    ):
        super().__init__((thing.name, thing) for thing in built_in)
        self.noun, self.group, self.takes, self.modules = noun, group, takes, modules
        self.built_in = frozenset((*self, *modules))
        _ALL.append(self)

    def find(self, name: Any) -> T:
        """Return the object of that name, or raise InputError with the known names and the nearest one."""
        if not isinstance(name, str):
            names = ", ".join(self.names())
            raise InputTypeError(f"the {self.noun} is {shown(name)}; give one of the names {names}")
        if name not in self:
            self._load(name)
        if name in self:
            return self[name]
        near = difflib.get_close_matches(name.lower(), self.names(), n=1)
        own = " Register your own in each process that uses it."
        hint = f" Did you mean {near[0]!r}?" if near else own
        raise InputError(f"unknown {self.noun} {shown(name)}; known: {', '.join(self.names())}.{hint}")

    def names(self) -> tuple[str, ...]:
        """Return all known names, loaded or not."""
        return tuple(dict.fromkeys((*self.modules, *self)))

    def _load(self, name: str) -> None:
        if name in self.modules:
            self[name] = getattr(import_module(self.modules[name]), self.noun.split()[0].upper())
            return
        from importlib.metadata import entry_points  # slow to import, and seldom needed

        for point in entry_points(group=self.group, name=name):
            register(point.load())


def register(thing: T) -> T:
    """Register a surrogate, an input family, an optimiser or a kind of trial: its name then works everywhere.

    Parameters
    ----------
    thing : Surrogate, subclass of Family or Optimizer, or Kind
        An object with a ``name``. It replaces any earlier one that was registered under that name.

    Returns
    -------
    thing
        The same object, so that `register` can decorate a class.

    Raises
    ------
    InputError
        If it is of another type (`InputTypeError`), or has a built-in name.

    Notes
    -----
    Another process, such as a worker of a cluster, knows only what was registered in it. A package registers
    its objects in every process by entry points (docs/extending.md).

    Examples
    --------
    >>> import sterling as st
    >>> st.register(st.Surrogate("wide_relu", window=(0, 2)))
    get_surrogate('wide_relu')
    >>> st.Problem(n=4, samples=20).draw(seed=0).gradient([1, -1, 1, 1], "wide_relu").shape
    (4,)
    """
    registry = next((one for one in _ALL if one.takes(thing)), None)
    if registry is None:
        nouns = ", ".join(one.noun for one in _ALL)
        raise InputTypeError(f"{shown(thing)} cannot be registered: give one of {nouns}")
    name = getattr(thing, "name", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise InputError(
            f"the name of the {registry.noun} is {shown(name)}; use letters, digits and underscores"
        )
    if name in registry.built_in and registry.get(name) is not thing:
        raise InputError(f"the {registry.noun} {name!r} is built in: give yours another name")
    registry[name] = thing
    return thing
