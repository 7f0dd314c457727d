"""Takes every look of an exported release again and compares: same rows, same code, same bytes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from core.errors import InvalidInputError
from deploy.archive import EXPOSURE, FORMAT, Line
from deploy.crediting import AsGiven
from deploy.evaluation import VERDICTS, ReleasePlan, canonical
from deploy.evaluator import Evaluator
from deploy.outcome_rows import ExposureColumns, InteractionColumns, RequestRows, Roster
from deploy.outcomes import History
from deploy.rows import Known


@dataclass(frozen=True, slots=True)
class Replay:
    """`difference` names the first thing that came out otherwise; empty: every byte is the same."""

    release_id: str
    looks: int
    verdict: str | None
    difference: str


@dataclass(slots=True)
class FileRows(AsGiven):
    """`Rows` from the lines of a file. `limit`: only what one look knew."""

    exposure: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    interaction: list[Line] = field(default_factory=list)
    before: dict[str, tuple[int, int]] = field(default_factory=dict)
    looks: list[tuple[int, Known]] = field(default_factory=list)
    limit: Known | None = None

    def knowing(self, at_ms: int, known: Known) -> FileRows:
        """The rows that a look without complete data had."""
        earlier = [look for look in self.looks if look[0] < at_ms]
        return FileRows(self.exposure, self.interaction, self.before, earlier, known)

    def known(self, release_id: str) -> list[tuple[int, Known]]:
        return self.looks

    def exposures(
        self, release_id: str, after_row: int, up_to_row: int | None, roster: Roster
    ) -> tuple[RequestRows, int]:
        if up_to_row is None and self.limit is not None:
            up_to_row = self.limit.exposure_row
        rows = self.exposure["row"]
        end = len(rows) if up_to_row is None else bisect_right(rows, up_to_row)
        part = slice(bisect_right(rows, after_row), end)
        columns = {name: self.exposure[name][part] for name in (*EXPOSURE, "items")}
        read = RequestRows.read(ExposureColumns(**columns), roster)
        return read, rows[part][-1] if rows[part] else after_row

    def interactions(
        self, first_ms: int, last_ms: int, up_to_row: int | None
    ) -> tuple[InteractionColumns, int]:
        if up_to_row is None and self.limit is not None:
            up_to_row = self.limit.interaction_row
        start = bisect_left(self.interaction, first_ms, key=_received_ms)
        end = bisect_right(self.interaction, last_ms, key=_received_ms)
        found = [
            line for line in self.interaction[start:end] if up_to_row is None or line["row"] <= up_to_row
        ]
        names = ("user_id", "video_id", "event_type", "watch_percentage", "request_id", "received_ms")
        return InteractionColumns(**{name: [line[name] for line in found] for name in names}), 0

    def history(self, plan: ReleasePlan, started_ms: int) -> History:
        return self.before


def replay(lines: Iterable[Line]) -> Replay:
    """Take the decisions of a release again.

    Raises:
        InvalidInputError: a line is missing or not as `archive` writes it.
    """
    rows = FileRows()
    kept: dict[str, list[Line]] = defaultdict(list)
    try:
        for line in lines:
            _take(rows, kept, line)
        return _replay(rows, kept)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"not an exported release: {type(error).__name__} {error}") from None


def _take(rows: FileRows, kept: dict[str, list[Line]], line: Line) -> None:
    match line["kind"]:
        case "exposure":
            for name in ("row", *EXPOSURE, "items"):
                rows.exposure[name].append(line[name])
        case "interaction":
            rows.interaction.append(line)
        case "before":
            rows.before[line["user_id"]] = (line["requests"], line["successes"])
        case kind:
            kept[kind].append(line)


def _replay(rows: FileRows, kept: Mapping[str, list[Line]]) -> Replay:
    if len(kept["release"]) != 1 or not kept["look"]:
        raise InvalidInputError("not an exported release: it must hold one release and its looks")
    (release,) = kept["release"]
    rows.interaction.sort(key=_received_ms)
    if release["format"] != FORMAT:
        raise InvalidInputError(f"the file has format {release['format']}, this program reads {FORMAT}")
    known = [(look["at_ms"], _known(look)) for look in kept["look"]]
    rows.looks = [(at_ms, one) for at_ms, one in known if one is not None]
    verdict = kept["verdict"][0] if kept["verdict"] else None
    difference = _compare_looks(rows, release, kept["look"]) or _compare_verdict(kept["look"], verdict)
    said = verdict["verdict"] if verdict is not None else None
    return Replay(release["release_id"], len(kept["look"]), said, difference)


def _received_ms(line: Line) -> int:
    received_ms: int = line["received_ms"]
    return received_ms


def _known(look: Line) -> Known | None:
    return Known.from_json(look["known"]) if look["known"] is not None else None


def _compare_looks(rows: FileRows, release: Line, looks: list[Line]) -> str:
    plan = ReleasePlan.from_json(release["plan"]["evaluation"])
    release_id, opened_ms = release["release_id"], release["opened_ms"]
    going_on = Evaluator(rows)
    for look in looks:
        at_ms, known = look["at_ms"], _known(look)
        alone = known is not None and not known.complete
        evaluator = Evaluator(rows.knowing(at_ms, known)) if alone and known is not None else going_on
        again = evaluator.look(release_id, plan, opened_ms, at_ms, at_ms).to_json()
        if canonical(again) != canonical(look["result"]):
            return f"look {look['look']}: {first_difference(look['result'], again)}"
    return ""


def _compare_verdict(looks: list[Line], verdict: Line | None) -> str:
    """Whether the verdict is that of the look it rests on; one by hand rests on none."""
    if verdict is None or "decision" not in verdict["evidence"]:
        return ""
    evidence = verdict["evidence"]
    look = next((one["result"] for one in looks if one["look"] == evidence["look"]), None)
    if look is None or canonical(look) != canonical(evidence):
        return f"verdict: its evidence is not look {evidence['look']}"
    if look["decision"] not in VERDICTS or look["decision"] != verdict["verdict"]:
        return f"verdict: {verdict['verdict']} was recorded, look {look['look']} says {look['decision']}"
    return ""


def first_difference(kept: Any, again: Any, where: str = "") -> str:
    """Where two JSON values first differ, and how; empty if they do not."""
    if isinstance(kept, dict) and isinstance(again, dict):
        pairs = ((f"{where}.{name}".lstrip("."), name) for name in sorted(kept.keys() | again.keys()))
        found = (first_difference(kept.get(name), again.get(name), path) for path, name in pairs)
        return next(filter(None, found), "")
    if isinstance(kept, list) and isinstance(again, list) and len(kept) == len(again):
        numbered = enumerate(zip(kept, again, strict=True))
        return next(filter(None, (first_difference(a, b, f"{where}[{n}]") for n, (a, b) in numbered)), "")
    if canonical(kept) == canonical(again):
        return ""
    return f"{where} was {_short(kept)}, is {_short(again)} now"


def _short(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:120]
