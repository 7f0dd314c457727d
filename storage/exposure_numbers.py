"""Exposures as numbers: what a look reads of a million of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import chain, pairwise, zip_longest
from struct import Struct
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from core.errors import InvalidInputError
from storage.exposure_columns import MOST, OF_RELEASE, portions
from storage.tables import exposures

# Rows that the database lays end to end: so many that threads which hand them over seldom wait for the interpreter.
AGGREGATED: Final = 20_000

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# Gives each of some viewers a number, always the same one.
Numbering = Callable[[Sequence[str]], Ints]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Some exposures as numbers, one entry per request in each array: what is read of all of them at every look.

    A text per row would cost more than everything else: the viewer comes as a number, request ids and shown
    videos are asked for by row where they matter (`items_of`, `request_ids_of`, `rows_and_items_of`).
    """

    row: Ints
    viewer: Ints
    served_ms: Ints
    stage: Ints
    flags: Ints  # the sum of those of FLAGS that hold
    latency_ms: Floats


_Columns = tuple[Ints, Ints, Ints, Floats]  # row, time, stage and flags, latency


class _Sent(Protocol):
    """Some exposures as the database laid them end to end; made arrays of where nobody waits for the next ones."""

    viewers: str  # one a line: ids hold no line breaks (core.ids)

    @property
    def last_row(self) -> int: ...

    def columns(self) -> _Columns: ...


@dataclass(slots=True)
class _Floats:
    """Four big-endian floats a row."""

    viewers: str
    sent: memoryview

    @property
    def last_row(self) -> int:
        return int(self._values()[-1, 0])

    def columns(self) -> _Columns:
        values = self._values()
        row, served, packed = values[:, :3].T.astype(np.int64)
        return row, served, packed, values[:, 3].astype(np.float64)

    def _values(self) -> Floats:
        return np.frombuffer(self.sent, ">f8").reshape(-1, 4)


@dataclass(slots=True)
class _Digits:
    """A text of digits for each column, the last of them microseconds; `latency` where those are not exact."""

    viewers: str
    texts: Sequence[str]
    latency: Floats | None

    @property
    def last_row(self) -> int:
        return int(self.texts[0].rpartition(",")[2])

    def columns(self) -> _Columns:
        row, served, packed, microseconds = (np.fromstring(text, np.int64, sep=",") for text in self.texts)
        return row, served, packed, microseconds / 1000 if self.latency is None else self.latency


FLAGS: Final = {"canary": 1, "forced": 2, "fell_back": 4, "error": 8, "timeout": 16, "short": 32}
_STAGE_UNIT: Final = 64
_PACKED: Final = (
    f'CAST("stage" AS BIGINT) * {_STAGE_UNIT}'
    f""" + CASE WHEN "arm_assigned" = 'canary' THEN {FLAGS["canary"]} ELSE 0 END"""
    f' + CASE WHEN "forced" THEN {FLAGS["forced"]} ELSE 0 END'
    f' + CASE WHEN "arm_served" <> "arm_assigned" THEN {FLAGS["fell_back"]} ELSE 0 END'
    """ + CASE "outcome" WHEN 'ok' THEN 0"""
    f""" {" ".join(f"WHEN '{word}' THEN {FLAGS[word]}" for word in ("error", "timeout", "short"))} ELSE 0 END"""
)
_BY_ROW: Final = f'"row_id", "user_id", "served_ms", {_PACKED}, "latency_ms"'

# A line segment is four floats, which a single call makes bytes of; whole numbers below 2^53 are exact as such.
_FROM_POSTGRESQL: Final = (
    'SELECT string_agg("user_id", chr(10)),'  # noqa: S608 - our own words
    f' string_agg(lseg_send(lseg(point("row_id", "served_ms"), point({_PACKED}, "latency_ms"))), \'\')'
    ' FROM (SELECT * FROM "output"."exposures"'
    f" WHERE {OF_RELEASE.format(*['%s'] * 3)} LIMIT {AGGREGATED}) AS portion"
)
_COPY_HEADER: Final = 11 + 4 + 4 + 2  # signature, flags, length of an extension, number of fields
_LENGTH: Final = Struct(">i")
# SQLite writes floats inexactly: latencies come as whole microseconds, with whether that is what they are. Its
# aggregates know no order of their own: they are fed from the release's index.
_MICROSECONDS: Final = 'CAST("latency_ms" * 1000 + 0.5 AS INTEGER)'
_OF_RELEASE: Final = '"release_id" = ?1 AND "row_id" > ?2 AND "row_id" <= '
_LAST_OF_PORTION: Final = (
    f'SELECT "row_id" FROM "exposures" WHERE {_OF_RELEASE}?3'  # noqa: S608
    f' ORDER BY "row_id" LIMIT 1 OFFSET {AGGREGATED - 1}'
)
_FROM_SQLITE: Final = (
    'SELECT group_concat("user_id", char(10)), group_concat("row_id"), group_concat("served_ms"),'  # noqa: S608
    f' group_concat({_PACKED}), group_concat({_MICROSECONDS}), min({_MICROSECONDS} / 1000.0 = "latency_ms")'
    ' FROM "exposures" INDEXED BY "ix_exposures_release_id_row_id"'
    f" WHERE {_OF_RELEASE} ifnull(({_LAST_OF_PORTION}), ?3)"
)
_LATENCIES: Final = f'SELECT "latency_ms" FROM "exposures" WHERE {_OF_RELEASE}?3 ORDER BY "row_id"'  # noqa: S608


def numbers_of_release(
    connections: Sequence[Connection],
    number: Numbering,
    release_id: str,
    after_row: int = 0,
    up_to_row: int | None = None,
) -> list[Numbers]:
    """The exposures of one release after row `after_row`, oldest row first, in portions.

    Many are read by all connections at once, each an equal part of the row numbers. Meanwhile ask nothing else of
    them.

    Raises:
        InvalidInputError: a viewer's id, as somebody else stored it, holds a line break.
    """
    fetch = _from_postgresql if connections[0].dialect.name == "postgresql" else _from_sqlite
    ends = _ends(connections[0], release_id, after_row, up_to_row, len(connections))
    read: list[list[Numbers]] = [[] for _ in ends[1:]]
    with ExitStack() as stack:
        sent_by = []
        for connection, (after, last) in zip(connections, pairwise(ends), strict=False):
            driver: Any = connection.connection.driver_connection
            portions_sent = _each(
                partial(fetch, stack.enter_context(closing(driver.cursor())), release_id, last), after
            )
            sent_by.append(stack.enter_context(_ahead(portions_sent)))
        for together in zip_longest(*sent_by):
            for portions_read, sent in zip(read, together, strict=True):
                if sent is not None:
                    portions_read.append(_numbered(sent, number))
    return list(chain.from_iterable(read))


def numbers_between(
    connection: Connection, number: Numbering, first_ms: int, last_ms: int
) -> Iterator[Numbers]:
    """What was served from `first_ms` to `last_ms`, both included, in that order, in portions."""
    where = "served_ms BETWEEN {} AND {} ORDER BY served_ms, row_id"
    for portion in portions(connection, _BY_ROW, where, (first_ms, last_ms)):
        row, user, served, packed, latency = zip(*portion, strict=True)
        yield _numbers(_ints(row), number(user), _ints(served), _ints(packed), np.array(latency, np.float64))


def _ends(
    connection: Connection, release_id: str, after_row: int, up_to_row: int | None, parts: int
) -> list[int]:
    """Row numbers between which those of the release lie: as many equal parts, or one if that is one portion."""
    last_row = MOST if up_to_row is None else up_to_row
    if parts > 1:
        row = exposures.c.row_id
        wanted = (exposures.c.release_id == release_id) & (row > after_row) & (row <= last_row)
        first, last = connection.execute(select(func.min(row), func.max(row)).where(wanted)).one()
        if first is not None and last - first >= AGGREGATED:
            return [first - 1 + (last - first + 1) * part // parts for part in range(parts + 1)]
    return [after_row, last_row]


def _each(fetch: Callable[[int], _Sent | None], after_row: int) -> Iterator[_Sent]:
    while (sent := fetch(after_row)) is not None:
        after_row = sent.last_row
        yield sent


@contextmanager
def _ahead(portions_sent: Iterator[_Sent]) -> Generator[Iterator[_Sent], None, None]:
    """Fetches while those before are worked on: databases need no interpreter.

    Two ahead, so that the thread goes from one to the next by itself: woken for it, it would find the
    interpreter's lock taken until the work is done.
    """
    with ThreadPoolExecutor(1) as thread:
        coming = deque(thread.submit(next, portions_sent, None) for _ in range(2))

        def arriving() -> Iterator[_Sent]:
            while (sent := coming.popleft().result()) is not None:
                coming.append(thread.submit(next, portions_sent, None))
                yield sent

        yield arriving()


def _from_postgresql(cursor: Any, release_id: str, last_row: int, after_row: int) -> _Sent | None:
    """Two fields of one row, in the binary form of COPY: as a result the numbers would come in hexadecimal digits.

    Of a field the length comes first, in four bytes, -1 for NULL. The last holds four big-endian floats a row.
    """
    copied = BytesIO()
    query = cursor.mogrify(_FROM_POSTGRESQL, (release_id, after_row, last_row)).decode()
    cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT binary)", copied)
    sent, begin, fields = copied.getbuffer(), _COPY_HEADER, []
    for _ in range(2):
        (length,) = _LENGTH.unpack_from(sent, begin)
        if length < 0:
            return None
        begin += _LENGTH.size + length
        fields.append(sent[begin - length : begin])
    return _Floats(str(fields[0], "utf-8"), fields[1])


def _from_sqlite(cursor: Any, release_id: str, last_row: int, after_row: int) -> _Sent | None:
    cursor.execute(_FROM_SQLITE, (release_id, after_row, last_row))
    viewers, *texts, exact = cursor.fetchone()
    if viewers is None:
        return None
    sent = _Digits(viewers, texts, None)
    if not exact:
        cursor.execute(_LATENCIES, (release_id, after_row, sent.last_row))
        sent.latency = np.fromiter((ms for (ms,) in cursor), np.float64)
    return sent


def _numbered(sent: _Sent, number: Numbering) -> Numbers:
    row, served, packed, latency = sent.columns()
    viewers = sent.viewers.split("\n")
    if len(viewers) != row.size:
        rows = f"exposures {row[0]} to {row[-1]}"
        raise InvalidInputError(f"{rows}: a viewer's id holds a line break, which none that is served has")
    return _numbers(row, number(viewers), served, packed, latency)


def _numbers(row: Ints, viewer: Ints, served_ms: Ints, packed: Ints, latency_ms: Floats) -> Numbers:
    return Numbers(row, viewer, served_ms, packed // _STAGE_UNIT, packed % _STAGE_UNIT, latency_ms)


def _ints(values: Sequence[int]) -> Ints:
    return np.fromiter(values, np.int64, len(values))
