"""Documents that were written while their viewer was being forgotten."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.persistence import Stored
from storage.database import Database
from storage.exposures import LoggedExposure, those_stored
from storage.interactions import LoggedInteraction, stored_under
from storage.progress import progress_of
from storage.removal import viewers_without_rows
from storage.serving_store import OF_VIEWERS, ServingStore, keys_of_viewer


def drop_forgotten(database: Database, store: ServingStore, stored: Stored) -> list[str]:
    """Delete the documents of the batch's viewers who have no rows any more; which viewers those are.

    Between a batch's rows and its documents `understudy forget` may delete both; the documents would then be written
    again. Every deletion moves the account of its partition, so one small query tells that there was none.

    Raises:
        DependencyError: the same call again makes it whole.
    """
    with database.read() as connection:
        accounts = progress_of(connection, stored.accounts)
        if all(accounts[where].removed == then.removed for where, then in stored.accounts.items()):
            return []
        # Whoever still has a row of the batch is not forgotten; to ask for the others means to read the tables.
        still = _viewers(
            stored_under(connection, [row.position for row in stored.rows]),
            those_stored(connection, stored.exposures),
        )
        gone = _viewers(stored.rows, stored.exposures) - still
        forgotten = viewers_without_rows(connection, gone) if gone else []
    for user_id in forgotten:
        for collection in OF_VIEWERS:
            store.delete_many(collection, keys_of_viewer(store, collection, user_id))
    return forgotten


def _viewers(rows: Iterable[LoggedInteraction], exposures: Iterable[LoggedExposure]) -> set[str]:
    return {row.interaction.user_id for row in rows} | {row.exposure.user_id for row in exposures}
