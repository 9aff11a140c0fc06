"""The room itself: names that load lazily, and what is said where PyTorch is missing."""

import subprocess
import sys
from pathlib import Path

import sterling.torch as stt


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_loads_nothing_heavy_and_names_and_a_comparison_only_pytorch():
    code = (
        "import sys, sterling.torch as stt; dir(stt)\n"
        "print([m for m in ('torch', 'numba', 'polars', 'matplotlib') if m in sys.modules])\n"
        "import torch; list(map(stt.__getattr__, stt.__all__))\n"
        "stt.verify(stt.binarize(torch.nn.Linear(8, 4)), torch.nn.Linear(8, 4)).findings\n"
        "print([m for m in ('numba', 'scipy', 'matplotlib', 'polars') if m in sys.modules])"
    )
    assert run(code).stdout == "[]\n[]\n"


def test_without_pytorch_the_message_says_how_to_install_it():
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'torch' else find(name, *more)\n"
        "import sterling.torch"
    )
    last = run(code).stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert "pip install" in last
    assert "torch" in last


def test_no_public_name_is_a_module():
    modules = {path.stem for path in Path(stt.__file__).parent.iterdir()}
    assert modules & set(stt.__all__) == set()
