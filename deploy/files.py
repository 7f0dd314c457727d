"""Exposures and interactions of other platforms, out of CSV or NDJSON files."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from core.clock import parse_ms
from core.errors import InvalidInputError
from deploy.outcome_rows import ExposureColumns, InteractionColumns

Cell = Callable[[Any], Any]
_NEEDED: Final = object()
_LARGEST: Final = 2**53  # beyond, sums of whole numbers are no longer exact
_LAST_MS: Final = 253_370_764_799_999  # of the year 9998: a look comes later, and must have a date too
# Seconds since 1970 from 2001 to 2286. As milliseconds they are a few days of early 1970, where no release ran; a clock
# that begins at zero is below.
_SECONDS: Final = range(10**9, 10**10)


def read_exposures(path: Path) -> ExposureColumns:
    """A row for each answered request: request_id, user_id, served, arm, stage, items; the rest may be absent.

    `served`: RFC 3339 or milliseconds; `arm`: the assigned one, main or canary; `items`: a list, or ids with
    spaces between them, empty where nothing was shown. `arm_served`, `outcome` (ok, error, timeout, short), `latency_ms`, `forced`.

    Raises:
        InvalidInputError: names the file, the line and the column.
    """
    columns: dict[str, tuple[Cell, Any]] = {
        "request_id": (_text, _NEEDED),
        "user_id": (_text, _NEEDED),
        "served": (_time, _NEEDED),
        "arm": (_one_of("main", "canary"), _NEEDED),
        "stage": (_whole, _NEEDED),
        "items": (_ids, _NEEDED),
        "arm_served": (_text, None),
        "outcome": (_one_of("ok", "error", "timeout", "short"), "ok"),
        "latency_ms": (_measure, 0.0),
        "forced": (_truth, False),
    }
    read = _read(path, columns)
    answered = [served or arm for served, arm in zip(read.pop("arm_served"), read["arm"], strict=True)]
    return ExposureColumns(
        arm_served=answered, arm_assigned=read.pop("arm"), served_ms=read.pop("served"), **read
    )


def read_interactions(path: Path) -> InteractionColumns:
    """A row for each event: user_id, video_id, event_type, received; event_id, request_id, watch_percentage.

    A row is a success where `event_type` is `complete` or `watch_percentage` at least 50.

    Raises:
        InvalidInputError: names the file, the line and the column.
    """
    columns: dict[str, tuple[Cell, Any]] = {
        "user_id": (_text, _NEEDED),
        "video_id": (_text, None),
        "event_type": (_text, _NEEDED),
        "received": (_time, _NEEDED),
        "watch_percentage": (_measure, None),
        "request_id": (_text, None),
        "event_id": (_text, None),
    }
    read = _read(path, columns)
    return InteractionColumns(received_ms=read.pop("received"), **read)


def read_history(path: Path) -> dict[str, tuple[int, int]]:
    """A row for each viewer before the release: user_id, requests, successes.

    Raises:
        InvalidInputError: names the file, the line and the column.
    """
    read = _read(
        path, {"user_id": (_text, _NEEDED), "requests": (_whole, _NEEDED), "successes": (_whole, _NEEDED)}
    )
    counts = zip(read["requests"], read["successes"], strict=True)
    return dict(zip(read["user_id"], counts, strict=True))


def _read(path: Path, columns: Mapping[str, tuple[Cell, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in columns}
    for number, row in _rows(path):
        for name, (cell, default) in columns.items():
            value = row.get(name)
            if value is None or (value == "" and cell is not _ids):  # nothing may have been shown
                if default is _NEEDED:
                    there = "" if name in row else f"; there are {', '.join(map(str, row))}"
                    raise InvalidInputError(f"{path}, line {number}: no {name}{there[:200]}")
                found[name].append(default)
                continue
            try:
                found[name].append(cell(value))
            except (ValueError, TypeError, OverflowError, InvalidInputError) as error:
                raise InvalidInputError(
                    f"{path}, line {number}: {name} {str(value)[:80]!r}: {error}"
                ) from None
    return found


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line numbers and rows; a file whose first character is `{` is NDJSON, any other CSV with a header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            if first.startswith("["):
                raise InvalidInputError(f"{path} is one JSON array; needed are objects, one a line")
            read = _objects if first.startswith("{") else _table
            yield from read(path, chain([first], file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"cannot read {path}: {error}") from None


def _table(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    table = csv.DictReader(lines, strict=True)  # a quote that is never closed would swallow all later rows
    for row in table:
        if None in row:
            raise InvalidInputError(f"{path}, line {table.line_num}: more cells than the header has names")
        yield table.line_num, row


def _objects(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _decoded(decode, line, f"{path}, line {number}")


def _decoded(decode: Callable[[str], dict[str, Any]], line: str, where: str) -> dict[str, Any]:
    try:
        return decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInputError(f"{where}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a text")
    return value


def _whole(value: Any) -> int:
    number = int(value)
    if isinstance(value, bool | float) or not 0 <= number < _LARGEST:
        raise ValueError(f"must be a whole number from 0 to {_LARGEST - 1}")
    return number


def _measure(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        raise ValueError("must be a finite number of at least 0")
    return number


def _time(value: Any) -> int:
    at_ms = parse_ms(value) if isinstance(value, str) and not value.isdecimal() else _whole(value)
    if at_ms > _LAST_MS:
        raise ValueError("is after the year 9998: milliseconds are needed")
    if at_ms in _SECONDS:
        raise ValueError("is a time in seconds: milliseconds are needed")
    return at_ms


def _truth(value: Any) -> bool:
    return bool(_one_of("true", "false", "1", "0")(str(value).lower()) in {"true", "1"})


def _ids(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list) else tuple(_text(value).split())


def _one_of(*words: str) -> Cell:
    def cell(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return cell
