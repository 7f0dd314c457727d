"""A whole release in one file: a line of JSON for each row, enough to take every look of it again."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np

from core.errors import InvalidInputError, RefusedError
from deploy.evaluation import ReleasePlan
from deploy.outcome_rows import WATCHED_PERCENTAGE
from deploy.rows import SUCCESS_EVENTS, DatabaseRows
from storage import releases as store
from storage.database import Database
from storage.exposure_columns import StoredColumns, columns_of_release, items_of
from storage.interactions import OutcomeColumns, interactions_between

FORMAT: Final = 1
Line = dict[str, Any]
# Columns of an exposure's line, in the words of `Exposure`.
EXPOSURE: Final = (
    "request_id",
    "user_id",
    "served_ms",
    "arm_assigned",
    "arm_served",
    "stage",
    "forced",
    "outcome",
    "latency_ms",
)


def lines_of(database: Database, release_id: str) -> Iterator[Line]:
    """The lines of a release: itself, traffic plans, story, looks, verdict, then the rows they rest on.

    Exposures are those that its last look knew; interactions those that can be a success of one of them.

    Raises:
        NotFoundError: there is no such release.
        RefusedError: it has not been looked at, so there is nothing to take again.
    """
    with database.read() as connection:
        row = store.get_release(connection, release_id)
        plans = store.plans_of(connection, release_id)
        looks = store.evaluations_of(connection, release_id)
        events = store.events_of(connection, release_id)
        verdict = store.verdict_of(connection, release_id)
        if not looks:
            raise RefusedError(f"release {release_id} has had no look: there is no decision to take again")
        opened_ms = plans[0].created_ms
        yield {"kind": "release", "format": FORMAT, "opened_ms": opened_ms, **asdict(row)}
        for published in plans:
            yield {"kind": "traffic_plan", **msgspec.to_builtins(published)}
        for event in events:
            yield {"kind": "event", "at_ms": event.at_ms, "event": event.kind, "text": event.text}
        for look in looks:
            yield {"kind": "look", **asdict(look)}
        if verdict is not None:
            yield {"kind": "verdict", **asdict(verdict)}
        last_row = max((look.known["exposure_row"] for look in looks if look.known is not None), default=None)
        viewers: set[str] = set()
        for portion in columns_of_release(connection, release_id, 0, last_row):
            viewers.update(portion.user_id)
            yield from _exposures(portion, items_of(connection, portion.row))
        plan = ReleasePlan.from_json(row.plan["evaluation"])
        last_ms = looks[-1].at_ms - plan.ingest_delay_ms
        yield from _interactions(
            interactions_between(connection, opened_ms, last_ms, SUCCESS_EVENTS), viewers
        )
    if plan.cuped:
        before = DatabaseRows(database).history(plan, opened_ms)
        for user_id in sorted(viewers & before.keys()):
            requests, successes = before[user_id]
            yield {"kind": "before", "user_id": user_id, "requests": requests, "successes": successes}


def write(path: Path, lines: Iterable[Line]) -> int:
    """Write lines beside and move them into place; a name that ends in `.gz` is compressed. The number of lines."""
    beside, number = path.with_name(path.name + ".part"), 0
    encode = msgspec.json.Encoder().encode
    try:
        with _opened(beside, "wb", path.suffix == ".gz") as file:
            for line in lines:
                file.write(encode(line) + b"\n")
                number += 1
        beside.replace(path)
    except OSError as error:
        raise InvalidInputError(f"cannot write {path}: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
    return number


def read(path: Path) -> Iterator[Line]:
    """The lines of a file.

    Raises:
        InvalidInputError: it cannot be read, or a line is no object with a kind; the line is numbered.
    """
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    try:
        with _opened(path, "rb", path.suffix == ".gz") as file:
            for number, text in enumerate(file, 1):
                try:
                    line = decode(text)
                except (msgspec.DecodeError, RecursionError) as error:
                    raise InvalidInputError(f"{path}, line {number}: {error}") from None
                if not isinstance(line.get("kind"), str):
                    raise InvalidInputError(f"{path}, line {number}: it has no kind")
                yield line
    except (OSError, EOFError) as error:
        raise InvalidInputError(f"cannot read {path}: {error}") from None


def _opened(path: Path, mode: str, compressed: bool) -> IO[bytes]:
    if compressed:
        return gzip.open(path, mode)  # type: ignore[return-value]
    return path.open(mode)


def _exposures(portion: StoredColumns, shown: Sequence[str]) -> Iterator[Line]:
    columns = [_plain(getattr(portion, name)) for name in EXPOSURE]
    for row, items, *values in zip(portion.row, shown, *columns, strict=True):
        yield {
            "kind": "exposure",
            "row": row,
            **dict(zip(EXPOSURE, values, strict=True)),
            "items": msgspec.Raw(items.encode()),
        }


def _plain(column: Any) -> list[Any]:
    values: list[Any] = column.tolist() if hasattr(column, "tolist") else list(column)
    return values


def _interactions(columns: OutcomeColumns, viewers: set[str]) -> Iterator[Line]:
    """Those that make a request of one of the viewers a success."""
    watched = columns.watch_percentage
    counts = (watched >= WATCHED_PERCENTAGE) | (np.array(columns.event_type, np.object_) == "complete")
    for place in np.flatnonzero(counts).tolist():
        if columns.user_ids[place] in viewers:
            yield {
                "kind": "interaction",
                "row": columns.rows[place],
                "user_id": columns.user_ids[place],
                "video_id": columns.video_ids[place],
                "event_type": columns.event_type[place],
                "watch_percentage": None if np.isnan(watched[place]) else float(watched[place]),
                "request_id": columns.request_ids[place],
                "received_ms": int(columns.received_ms[place]),
            }
