"""Evidence on decoding: `python -m benchmarks.qat [PART …] [--out FOLDER] [--results FOLDER] [--workers W]`.

rates      pilot: at which rate the last iterate of a cosine run is best
strengths  pilot: how strong each remedy is to be
runs       constant rates and cosines, with all that is read off them
remedies   the same at a constant rate with each remedy, and Bop and PARQ
summary    tables and figures of `runs` and `remedies`, with `--results` kept there

Without a part: runs, remedies, summary. What was done before is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.qat import summary
from benchmarks.qat.evidence import collect

PARTS = ("rates", "strengths", "runs", "remedies", "summary")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.qat",
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
    for part in asked.parts or PARTS[2:]:
        if part == "summary":
            summary.write(asked.out, asked.results or asked.out)
        else:
            collect(part, asked.out, asked.workers, asked.only)


if __name__ == "__main__":
    main()
