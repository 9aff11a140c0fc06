"""Measure the bars of the engine, print them and write them as JSON."""

from __future__ import annotations

import sys

from benchmarks.cases import CASES
from benchmarks.report import main

if __name__ == "__main__":
    sys.exit(main("", CASES, __doc__))
