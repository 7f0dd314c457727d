"""What only a server does: backends that are ended, a server that stops and comes back."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from core.errors import DependencyError
from storage.database import Database, open_database
from storage.migrate import migrate
from storage.releases import append_event, events_of
from tests.servers import Server
from tests.support import wait_until

pytestmark = pytest.mark.postgresql

END_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def database(postgresql_database: str) -> Iterator[Database]:
    migrate(postgresql_database)
    opened = open_database(postgresql_database)
    yield opened
    opened.close()


def test_a_terminated_backend_costs_one_transaction_at_most(
    database: Database, postgresql_database: str
) -> None:
    killer = open_database(postgresql_database)
    database.ping()
    with killer.begin() as connection:
        connection.execute(text(END_OTHERS))
    database.ping()  # idle connections are tried before they are used
    with pytest.raises(DependencyError), database.begin() as connection:
        append_event(connection, "r1", 1, "note", "cut off")
        with killer.begin() as killing:
            killing.execute(text(END_OTHERS))
        append_event(connection, "r1", 1, "note", "never arrives")
    with database.begin() as connection:
        assert events_of(connection, "r1") == []
    killer.close()


def test_an_immediate_stop_loses_no_commit(database: Database, postgresql_server: Server) -> None:
    with database.begin() as connection:
        append_event(connection, "r1", 1, "note", "committed")
    postgresql_server.stop(signal.SIGQUIT)
    try:
        with pytest.raises(DependencyError):
            database.ping()
    finally:
        postgresql_server.start()

    def answers() -> bool:
        try:
            database.ping()
        except DependencyError:
            return False
        return True

    wait_until(answers, 30, "PostgreSQL answering")
    with database.read() as connection:
        assert len(events_of(connection, "r1")) == 1


def test_a_lock_that_is_not_given_is_a_retriable_error(database: Database) -> None:
    with database.begin() as holder:
        holder.execute(text("LOCK TABLE output.release_events IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(DependencyError, match="lock timeout") as caught, database.begin() as waiting:
            waiting.execute(text("SET LOCAL lock_timeout = '100ms'"))
            append_event(waiting, "r1", 1, "note", "waits in vain")
    assert caught.value.retriable
