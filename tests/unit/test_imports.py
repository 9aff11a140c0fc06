"""`import sterling` must cost next to nothing, and offer every name that it promises."""

import subprocess
import sys
from importlib import import_module
from inspect import ismodule
from pathlib import Path

import pytest

import sterling as st

HEAVY = ("numba", "llvmlite", "torch", "matplotlib", "dask", "distributed", "polars", "scipy", "sklearn")


def loaded_by(code):
    """Return which of the heavy packages a fresh process has loaded after the code."""
    script = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_loads_nothing_heavy():
    """Half a second of imports before the first message would spoil the command line."""
    assert loaded_by("import sterling; dir(sterling); sterling.__version__; sterling.InputError") == []


def test_describing_a_problem_loads_no_compiler():
    """Problems and schedules are only words until something is drawn."""
    code = (
        "import sterling as st; st.Problem(n=5, samples=9, inputs='student_t:4'); st.Power(1, 0.5).mass(99)"
    )
    assert not {"numba", "torch", "matplotlib", "dask", "polars"} & set(loaded_by(code))


@pytest.mark.parametrize("room", ["", ".study", ".torch"])
def test_dir_lists_the_public_names_and_no_others(room):
    """What Tab shows in a notebook, before and after the names are used."""
    package = import_module(f"sterling{room}")
    for name in package.__all__:
        getattr(package, name)
    assert sorted(dir(package)) == sorted(set(package.__all__))
    assert [name for name in package.__all__ if name.startswith("_")] == ["__version__"] * (not room)


def test_no_public_name_is_a_module():
    """Importing a module sets it as an attribute of the package, in place of a function of that name."""
    folder = Path(st.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir()}
    functions = {name for name in st.__all__ if not ismodule(getattr(st, name))}
    assert modules & functions == set()


def test_a_run_needs_no_extras_and_the_landscape_is_a_function_before_and_after_its_module_is_loaded():
    """Training works where only the core dependencies are installed."""
    code = (
        "import sterling as st; first = st.landscape; import sterling.landscapes.landscape\n"
        "import sterling.landscapes.sweep\n"
        "assert st.landscape is first is st.landscapes.landscape.landscape\n"
        "assert len(st.landscape(st.Problem(n=3, samples=20).draw(0)).loss) == 8\n"
        "st.train(st.Problem(n=5, samples=9).draw(0), 10, engine='dense')"
    )
    assert not {"torch", "matplotlib", "dask", "distributed", "sklearn"} & set(loaded_by(code))


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="module 'sterling' has no attribute 'trian'"):
        st.trian  # noqa: B018
