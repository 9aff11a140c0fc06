"""Things by name: what is refused, what is replaced, what packages add."""

import importlib.metadata
from dataclasses import dataclass

import pytest

import sterling as st
from sterling.base import registry
from sterling.base.registry import Registry, register


@dataclass(frozen=True)
class Thing:
    name: object
    value: int = 0


@pytest.fixture
def things(monkeypatch):
    """Return a registry that nobody else sees."""
    monkeypatch.setattr(registry, "_ALL", [])
    return Registry("thing", "tests.things", lambda one: isinstance(one, Thing), [Thing("own")])


def test_a_thing_of_the_users_is_replaced_and_a_built_in_one_is_not(things):
    register(Thing("mine", 1))
    mine = Thing("mine", 2)
    assert register(mine) is mine is things.find("mine")
    assert list(things) == ["own", "mine"]
    with pytest.raises(st.InputError, match="another name"):
        register(Thing("own", 3))
    assert things["own"].value == 0


@pytest.mark.parametrize("name", ("", "two words", "a:b", None, 3))
def test_names_are_identifiers(things, name):
    with pytest.raises(st.InputError, match="name of the thing"):
        register(Thing(name))


def test_a_thing_of_another_sort_and_an_unknown_name_are_refused(things):
    with pytest.raises(TypeError, match="give one of thing"):
        register(3)
    with pytest.raises(st.InputError, match=r"'onw'; known: own.*'own'"):
        things.find("onw")
    with pytest.raises(st.InputError, match=r"known: own\. Register your own"):
        things.find("something")
    with pytest.raises(TypeError, match="own"):
        things.find(3)


def test_packages_add_things_by_entry_points(things, monkeypatch):
    class Point:
        def load(self):
            return Thing("theirs")

    def entry_points(group, name):
        return [Point()] if (group, name) == ("tests.things", "theirs") else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert things.find("theirs").name == "theirs"
    with pytest.raises(st.InputError, match="unknown thing 'other'"):
        things.find("other")
