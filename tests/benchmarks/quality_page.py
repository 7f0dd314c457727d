"""The measured part of docs/quality.md, made of the rows of `bench_quality`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

Row = dict[str, Any]

BEGIN: Final = "<!-- measured: written by `make bench-quality` -->"
END: Final = "<!-- end of measured -->"
# NDCG@20 as a mean over a data set's splits: what it has to be, and what we aim for.
BOUNDS: Final = {"movietweetings-early": (0.182, 0.201), "ml-100k": (0.297, 0.343)}
SYSTEMS: Final = ("understudy", "trending", "popularity")


def tables(rows: Sequence[Row]) -> str:
    """All tables in Markdown."""
    return "\n\n".join([_ndcg(rows), _means(rows), _others(rows), _served(rows), _costs(rows), _faults(rows)])


def replaced(document: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """The document with another measured part, which it has a place for.

    Raises:
        ValueError: it has none.
    """
    if begin not in document:
        raise ValueError(f"the page has no line {begin!r}")
    head, _, rest = document.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{text}\n{end}{tail}"


def _ndcg(rows: Sequence[Row]) -> str:
    lines = [
        "| NDCG@20 | viewers | popularity | best trending in hindsight (half-life) | Understudy | against trending, paired |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, best, popular = (row[name]["ndcg@20"] for name in SYSTEMS)
        gain, error = row["over_trending"]
        lines.append(
            f"| {row['data']} {row['split']:g} | {row['viewers']:,} | {_pm(popular)} | "
            f"{_pm(best)} ({row['half_life_days']:g} d) | **{_pm(ours)}** | "
            f"{_signed(gain)} ± {_short(error)} ({_percent(gain / best[0])}) |"
        )
    return "\n".join(lines)


def _means(rows: Sequence[Row]) -> str:
    lines = [
        "| mean NDCG@20 | trending | Understudy | gain | must | aim | |",
        "|---|---|---|---|---|---|---|",
    ]
    for data, (must, aim) in BOUNDS.items():
        of = [row for row in rows if row["data"] == data]
        if not of:
            lines.append(
                f"| {data} | not measured: the data was not there | | | {_short(must)} | {_short(aim)} | |"
            )
            continue
        ours, best = (sum(row[name]["ndcg@20"][0] for row in of) / len(of) for name in SYSTEMS[:2])
        reached = "aim reached" if ours >= aim else "reached" if ours >= must else "**not reached**"
        lines.append(
            f"| {data}, {len(of)} splits | {_short(best)} | **{_short(ours)}** | {ours / best - 1:+.1%} | "
            f"{_short(must)} | {_short(aim)} | {reached} |"
        )
    return "\n".join(lines)


def _others(rows: Sequence[Row]) -> str:
    lines = ["| | | recall@20 | hit rate@10 | coverage@20 | cold share |", "|---|---|---|---|---|---|"]
    for row in rows:
        for name in SYSTEMS:
            found = row[name]
            where = f"{row['data']} {row['split']:g}" if name == SYSTEMS[0] else ""
            lines.append(
                f"| {where} | {name} | {_pm(found['recall@20'])} | {_pm(found['hit@10'])} | "
                f"{found['coverage@20']:.1%} | {found['cold_share']:.1%} |"
            )
    return "\n".join(lines)


def _served(rows: Sequence[Row]) -> str:
    """What diversity and places for cold videos cost and bring."""
    lines = [
        "| as served | NDCG@20 | against the ranker's order, paired | coverage@20 | cold share |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        found, (change, error) = row["served"], row["served_over_ours"]
        lines.append(
            f"| {row['data']} {row['split']:g} | {_pm(found['ndcg@20'])} | {_signed(change)} ± {_short(error)} "
            f"({_percent(change / row['understudy']['ndcg@20'][0])}) | {found['coverage@20']:.1%} | {found['cold_share']:.1%} |"
        )
    return "\n".join(lines)


def _costs(rows: Sequence[Row]) -> str:
    lines = [
        "| | interactions | videos | train: clock | processors | memory | recommend to all | one recommendation, median / p99 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        train, median_p99 = row["train"], " / ".join(f"{value:.1f}" for value in row["model_ms"])
        lines.append(
            f"| {row['data']} {row['split']:g} | {row['interactions']:,} | {row['videos']:,} | {train['wall_s']:.0f} s{_alone(row)} | "
            f"{train['cpu_s']:.0f} s | {train['memory_mb'] / 1024:.1f} GiB | {row['recommend']['wall_s']:.0f} s | "
            f"{median_p99} ms |"
        )
    return "\n".join(lines)


def _alone(row: Row) -> str:
    """What the training left out, where it did."""
    return "" if row.get("evaluated", True) else " without its evaluation"


def _faults(rows: Sequence[Row]) -> str:
    faulty = {f"{row['data']} {row['split']:g}": row["faults"] for row in rows if row["faults"]}
    asked = sum(row["viewers"] for row in rows)
    if not faulty:
        return f"Lists that are short, repeat a video, show a watched or an unknown one: 0 of {asked:,}."
    said = "; ".join(f"{where}: {faults}" for where, faults in faulty.items())
    return f"**Faulty lists** among {asked:,}: {said}."


def _pm(value: Sequence[float]) -> str:
    mean, error = value
    return f"{_short(mean)} ± {_short(error)}"


def _short(value: float) -> str:
    """Three decimals without the leading zero."""
    return f"{value:.3f}".replace("0.", ".", 1)


def _percent(value: float) -> str:
    return f"{value:+.0%}".replace("-", "−")


def _signed(value: float) -> str:
    return ("+" if value >= 0 else "−") + _short(abs(value))
