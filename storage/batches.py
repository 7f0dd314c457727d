"""Many rows at once, each at most once: the fast way of each database to insert what is new."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Table

Row = Sequence[Any]

_ESCAPED = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ESCAPES = str.maketrans(_ESCAPED)
_NULL = "\\N"
_NUMBERS = {int, float, type(None)}


def insert_new(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> int:
    """Insert the rows that break no unique key, the first of two equals; the number inserted.

    SQLite: one executemany. PostgreSQL: COPY into a temporary table, then INSERT ... SELECT, because an
    idiomatic insert with ON CONFLICT is ten times slower.
    """
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        return _insert_sqlite(connection, table, columns, rows)
    return _insert_postgresql(connection, table, columns, rows)


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _insert_sqlite(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> int:
    marks = ", ".join("?" * len(columns))
    statement = f'INSERT INTO "{table.name}" ({_quoted(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING'  # noqa: S608
    return connection.exec_driver_sql(statement, [tuple(row) for row in rows]).rowcount


def _insert_postgresql(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
) -> int:
    target, batch, names = f'"{table.schema}"."{table.name}"', f'"batch_{table.name}"', _quoted(columns)
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {batch} ON COMMIT DELETE ROWS"  # noqa: S608
        f" AS SELECT {names} FROM {target} WITH NO DATA"
    )
    cursor = connection.connection.cursor()
    try:
        cursor.copy_expert(f"COPY {batch} ({names}) FROM STDIN", io.StringIO(_copy_text(rows)))
    finally:
        cursor.close()
    inserted = connection.exec_driver_sql(
        f"INSERT INTO {target} ({names}) SELECT {names} FROM {batch} ON CONFLICT DO NOTHING"  # noqa: S608
    ).rowcount
    connection.exec_driver_sql(f"TRUNCATE {batch}")
    return inserted


def _copy_text(rows: Iterable[Row]) -> str:
    # Column by column: what a column holds is looked at once, not value by value.
    columns = [_copy_column(values) for values in zip(*rows, strict=True)]
    return "".join(["\t".join(row) + "\n" for row in zip(*columns, strict=True)])


def _copy_column(values: Sequence[Any]) -> Iterable[str]:
    kinds = set(map(type, values))
    if kinds <= _NUMBERS:
        return [_NULL if value is None else repr(value) for value in values]
    if kinds == {str}:
        text = "".join(values)
        if not any(special in text for special in _ESCAPED):
            return values
    return map(_copy_value, values)


def _copy_value(value: object) -> str:
    if value is None:
        return _NULL
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    if isinstance(value, bool):
        return "t" if value else "f"
    return repr(value)
