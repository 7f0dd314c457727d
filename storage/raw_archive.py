"""The raw archive: accepted events as a Delta table partitioned by day of receipt, for Spark and other batch engines.

Each commit carries, per partition of the event log, the offset reached, as a Delta application transaction:
events and offsets are there together or not at all, so whoever is killed anywhere goes on where the table says.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from arro3.core import Array, DataType, Field, Schema, Table
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from core.clock import DAY
from core.errors import ConflictError, DependencyError, RefusedError
from storage.event_log import TopicPartition
from storage.interactions import LoggedInteraction

_TEXT: Final = DataType.utf8()
_BEATEN: Final = "archive {}: somebody else has appended the same offsets"

# Column -> its type, and the value that is stored: `day` as days since 1970, times in microseconds.
_COLUMNS: Final[dict[str, tuple[DataType, Callable[[LoggedInteraction], Any]]]] = {
    "topic": (_TEXT, lambda row: row.topic),
    "partition": (DataType.int32(), lambda row: row.partition),
    "offset": (DataType.int64(), lambda row: row.offset),
    "event_id": (_TEXT, lambda row: row.event_id),
    "user_id": (_TEXT, lambda row: row.interaction.user_id),
    "video_id": (_TEXT, lambda row: row.interaction.video_id),
    "event_type": (_TEXT, lambda row: row.interaction.event_type),
    "details": (_TEXT, lambda row: msgspec.json.encode(row.interaction.details).decode()),
    "request_id": (_TEXT, lambda row: row.interaction.request_id),
    "occurred": (DataType.timestamp("us", tz="UTC"), lambda row: row.interaction.occurred_ms * 1_000),
    "received": (DataType.timestamp("us", tz="UTC"), lambda row: row.interaction.received_ms * 1_000),
    "day": (DataType.date32(), lambda row: row.interaction.received_ms // DAY),
}
_NULLABLE: Final = frozenset({"video_id", "request_id"})
_SCHEMA: Final = Schema(
    [Field(name, kind, nullable=name in _NULLABLE) for name, (kind, _) in _COLUMNS.items()]
)
# Statistics in the table's log would hold ids of viewers, which no deletion of rows takes out again.
_CONFIGURATION: Final = {"delta.dataSkippingStatsColumns": "partition,offset,occurred,received"}


class RawArchive:
    """One Delta table. Made by `open_raw_archive`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def reached(self, where: TopicPartition) -> int:
        """The offset up to which a partition is in the table: the next one to append."""
        with _translated(self._folder):
            table = self._table()
            return (table.transaction_version(_application(where)) or 0) if table is not None else 0

    def append(
        self, rows: Sequence[LoggedInteraction], where: TopicPartition, first: int, until: int
    ) -> None:
        """Commit the rows of a partition from offset `first` to before `until`, and `until` with them, at once.

        Raises:
            ConflictError: the table has come further than `first`: somebody else appends to it.
        """
        application = _application(where)
        with _translated(self._folder):
            DeltaTable.create(
                str(self._folder),
                schema=_SCHEMA,
                partition_by=["day"],
                mode="ignore",
                configuration=_CONFIGURATION,
            )
            table = DeltaTable(str(self._folder))
            if (table.transaction_version(application) or 0) > first:
                raise ConflictError(_BEATEN.format(self._folder))
            # From here on Delta itself refuses us if somebody else commits the same application's offsets.
            properties = CommitProperties(app_transactions=[Transaction(application, until)])
            write_deltalake(table, _table_of(rows), mode="append", commit_properties=properties)

    def count_of_viewer(self, user_id: str) -> int:
        """How many events of a viewer the table holds."""
        with _translated(self._folder):
            table = self._table()
            if table is None:
                return 0
            query = f"SELECT count(*) AS n FROM archive WHERE user_id = {_quoted(user_id)}"  # noqa: S608 - quoted
            found = QueryBuilder().register("archive", table).execute(query).read_all()
            return int(found.column("n")[0].as_py())

    def remove_viewer(self, user_id: str) -> int:
        """Delete a viewer's events, and the files that held them, so that no earlier version shows them; how many."""
        with _translated(self._folder):
            table = self._table()
            if table is None:
                return 0
            removed = table.delete(f"user_id = {_quoted(user_id)}")["num_deleted_rows"]
            table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
            return int(removed or 0)

    def _table(self) -> DeltaTable | None:
        return DeltaTable(str(self._folder)) if DeltaTable.is_deltatable(str(self._folder)) else None


@contextmanager
def open_raw_archive(folder: Path) -> Iterator[RawArchive]:
    """The archive in this folder, owned until the block ends: two writers on one machine take turns by refusal.

    Raises:
        RefusedError: another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)  # from now on retention asks it
    handle = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield RawArchive(folder)
    except BlockingIOError:
        raise RefusedError(f"another process is writing the archive in {folder}") from None
    finally:
        os.close(handle)


def _application(where: TopicPartition) -> str:
    return f"understudy:{where.topic}:{where.partition}"


def _table_of(rows: Sequence[LoggedInteraction]) -> Table:
    return Table.from_arrays(
        [_array([value(row) for row in rows], kind) for kind, value in _COLUMNS.values()], schema=_SCHEMA
    )


def _array(values: list[Any], kind: DataType) -> Array:
    """Times and days go in as the numbers they are stored as."""
    if kind == DataType.date32():
        return Array(values, DataType.int32()).cast(kind)
    if kind in {_TEXT, DataType.int32(), DataType.int64()}:
        return Array(values, kind)
    return Array(values, DataType.int64()).cast(kind)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except DeltaError as error:
        if "Concurrent transaction" in str(error):
            raise ConflictError(_BEATEN.format(folder)) from error
        raise DependencyError(f"archive {folder}: {str(error)[:300]}") from error
    except OSError as error:
        raise DependencyError(f"archive {folder}: {error}") from error
