"""Names for things that users bring: what is refused, what is replaced, what packages add."""

from __future__ import annotations

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


def test_a_thing_is_found_by_its_name(things):
    mine = Thing("mine")
    assert register(mine) is mine
    assert things.find("mine") is mine
    assert list(things) == ["own", "mine"]
    assert "mine" in things
    assert len(things) == 2


def test_a_thing_of_the_users_is_replaced_and_one_of_ours_is_not(things):
    register(Thing("mine", 1))
    register(Thing("mine", 2))
    assert things["mine"].value == 2
    with pytest.raises(st.InputError, match="another name"):
        register(Thing("own", 3))
    assert things["own"].value == 0


@pytest.mark.parametrize("name", ("", "two words", "a:b", None, 3))
def test_names_are_words(things, name):
    with pytest.raises(st.InputError, match="name of a thing"):
        register(Thing(name))


def test_what_belongs_nowhere_is_refused(things):
    with pytest.raises(TypeError, match="give a thing"):
        register(3)


def test_an_unknown_name_is_told_with_the_nearest(things):
    with pytest.raises(st.InputError, match=r"'onw'; known: own.*'own'"):
        things.find("onw")
    with pytest.raises(
        st.InputError, match=r"known: own\. One of your own must be registered in each process"
    ):
        things.find("something")
    with pytest.raises(TypeError, match="out of own"):
        things.find(3)


def test_packages_add_things_by_entry_points_read_once(things, monkeypatch):
    asked = []

    class Point:
        def __init__(self, name, thing):
            self.name, self.value, self.thing = name, f"package:{name}", thing

        def load(self):
            if self.thing is None:
                raise ImportError("no module")
            return self.thing

    def entry_points(group):
        asked.append(group)
        return [Point("theirs", Thing("theirs")), Point("broken", None), Point("foreign", "a text")]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert things.find("own").value == 0
    assert asked == []  # a known name needs no look
    with pytest.warns(st.SterlingWarning) as told:
        assert things.find("theirs").name == "theirs"
    assert sorted(str(one.message).split("'")[1] for one in told) == ["broken", "foreign"]
    with pytest.raises(st.InputError, match="unknown thing 'other'"):
        things.find("other")
    assert asked == ["tests.things"]


@pytest.mark.parametrize("noun, words", (("thing", "is a thing of"), ("input thing", "is an input thing of")))
def test_the_article_is_that_of_the_noun(monkeypatch, noun, words):
    monkeypatch.setattr(registry, "_ALL", [])
    things = Registry(noun, "tests.things", lambda one: isinstance(one, Thing), [Thing("own")])
    with pytest.raises(st.InputError, match=words):
        things.add(Thing("own", 1))
    with pytest.raises(st.InputError, match="give an? " + noun):
        register(3)
