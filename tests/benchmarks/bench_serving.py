"""What serving costs and bears, beside nginx, HAProxy and Chroma: `make bench-serving`.

Every figure is a ratio, or a difference, of one run on one machine, the peers taken in turn, and of several rounds
the best one: other work on the machine only makes everybody dearer. All rows are printed, and each part is written
into docs/serving-figures.md as soon as it is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.quality_page import replaced
from tests.benchmarks.serving_faults import fault_rows
from tests.benchmarks.serving_model import model_rows
from tests.benchmarks.serving_page import BEGIN, END, Row, table
from tests.benchmarks.serving_proxies import cost_rows, kept_rows, latency_rows

PARTS: Final[dict[str, Callable[[Path, int, int], list[Row]]]] = {
    "cost": cost_rows,
    "kept": kept_rows,
    "latency": latency_rows,
    "model": model_rows,
    "faults": fault_rows,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 once everything asked for was measured."""
    given = _parse(arguments)
    for name in given.only or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found = table(PARTS[name](Path(folder), given.seconds, given.rounds))
        print(found, flush=True)
        if given.write is not None:
            page = given.write.read_text("utf-8")
            given.write.write_text(replaced(page, found, BEGIN.format(part=name), END), "utf-8")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="page whose measured part is replaced")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), help="parts to measure; all by default")
    parser.add_argument("--seconds", type=int, default=5, help="length of one load")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
