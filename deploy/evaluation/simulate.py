"""Measure every figure of the design and write them into a document: `python -m deploy.evaluation.simulate`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from deploy.evaluation.figures import Figure, Rule, Studies, all_figures, other_rules
from deploy.evaluation.kept import Kept

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if every figure keeps its bound, else 1."""
    parser = argparse.ArgumentParser(prog="python -m deploy.evaluation.simulate", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of releases")
    parser.add_argument("--write", type=Path, help="the document whose marked part is replaced")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="as many as processors, by default"
    )
    parser.add_argument(
        "--keep", type=Path, help="a folder of what was simulated; run again, it goes on there"
    )
    given = parser.parse_args(arguments)
    with ProcessPoolExecutor(given.processes) as pool:
        figures, rules = measured(Studies(given.scale, pool.map, Kept(given.keep)))
    text = table(figures, rules)
    if given.write is not None:
        given.write.write_text(replaced(given.write.read_text("utf-8"), text), "utf-8")
    print(text)
    return 0 if all(figure.met for figure in figures) else 1


def measured(studies: Studies) -> tuple[list[Figure], list[Rule]]:
    """Everything, each figure told as soon as it is there."""
    figures = []
    for figure in all_figures(studies):
        figures.append(figure)
        print(_line(figure), file=sys.stderr, flush=True)
    return figures, other_rules(studies)


def table(figures: Sequence[Figure], rules: Sequence[Rule]) -> str:
    """Both tables in Markdown."""
    lines = ["| what | bound | measured | |", "|---|---|---|---|", *(_line(figure) for figure in figures)]
    lines += ["", "| rule | what it does | identical models | canary 5% worse |", "|---|---|---|---|"]
    lines += [f"| {rule.rule} | {rule.decides} | {rule.identical:.1%} | {rule.worse:.1%} |" for rule in rules]
    return "\n".join(lines)


def replaced(document: str, text: str) -> str:
    """The document with another text between its marks."""
    head, _, rest = document.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{text}\n{END}{tail}"


def _line(figure: Figure) -> str:
    return f"| {figure.what} | {figure.bound} | {figure.measured} | {'met' if figure.met else '**missed**'} |"


if __name__ == "__main__":
    sys.exit(main())
