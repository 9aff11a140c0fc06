"""Evidence on decoding: what decoding is worth in small nets. Hundreds of runs take hours.

rates      pilot: the best rate for the last iterate of a cosine run
strengths  pilot: the best strength of each remedy
runs       constant rates and cosines, and all nets of these runs
remedies   a constant rate with each remedy, and Bop and PARQ
people-pilots, people, people-summary   the quantisers that people use, see `people.py`
damping-pilots, damping-runs, damping-summary   the study of damping, see `plan.py`
summary    tables and figures of `runs` and `remedies`, in the folder of `--results`

Default: runs, remedies, summary. Finished trials are not repeated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.papers.qat import advised, judged, people, plan, summary
from benchmarks.papers.qat.evidence import collect

PARTS = (
    "rates",
    "strengths",
    "people-pilots",
    "people",
    "people-summary",
    "damping-pilots",
    "damping-runs",
    "damping-summary",
    "runs",
    "remedies",
    "summary",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.papers.qat",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--out", type=Path, default=Path("out/qat"), help="where trials are kept")
    parser.add_argument("--results", type=Path, help="where tables and figures are written")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="only studies whose name has this in it")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"{min(unknown)!r} is no part: take {', '.join(PARTS)}")
    for part in asked.parts or PARTS[-3:]:
        if part == "summary":
            summary.write(asked.out, asked.results or asked.out)
        elif part == "damping-summary":
            judged.write(asked.out, asked.results or asked.out)
        elif part == "people-summary":
            advised.write(asked.out, asked.results or asked.out)
        elif part.startswith("people"):
            people.collect(part, asked.out)
        elif part.startswith("damping"):
            plan.collect(part.removeprefix("damping-"), asked.out)
        else:
            collect(part, asked.out, asked.workers, asked.only)


if __name__ == "__main__":
    main()
