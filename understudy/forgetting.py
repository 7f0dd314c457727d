"""Forgetting a viewer: what is deleted at once, and what remains where and until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from core.clock import format_ms
from core.errors import InvalidBundleError
from core.ids import check_id
from storage import releases as store
from storage.bundles import BundleRef, list_bundles, read_manifest
from storage.database import Database
from storage.offline import read_report, viewer_hashes
from storage.removal import ViewerRows, count_of_viewer, remove_viewer
from storage.serving_store import OF_VIEWERS, ServingStore, keys_of_viewer

PLAYING: Final = "it plays {role}: until another version has taken that role and its folder is deleted"
IDLE: Final = "it does not play: until its folder is deleted"


@dataclass(frozen=True, slots=True)
class BundleTrace:
    """A bundle that holds something of a viewer: id, history and factors, or the figure of a hash of the id."""

    version: str
    as_of: str
    holds: str
    until: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted (in a dry run: what would be), and what remains.

    `documents` counts by collection, `log` says what the event log still holds.
    """

    user_id: str
    dry_run: bool
    rows: ViewerRows
    documents: Mapping[str, int]
    archived: int
    bundles: tuple[BundleTrace, ...]
    open_release: str | None
    log: str

    @property
    def deleted(self) -> int:
        rows = self.rows
        counts = (rows.interactions, rows.exposures, rows.dead_letters, *self.documents.values())
        return sum(counts) + self.archived

    def as_json(self) -> dict[str, Any]:
        built: dict[str, Any] = msgspec.to_builtins(self)
        return {**built, "deleted": self.deleted}

    def sentences(self) -> list[str]:
        """The report for people."""
        rows, done = self.rows, "would be deleted" if self.dry_run else "deleted"
        said = [
            f"{rows.interactions:,} interactions, {rows.exposures:,} exposures, {sum(self.documents.values())}"
            f" documents and {self.archived:,} archived events {done}; {rows.dead_letters:,} dead letters emptied"
        ]
        said += [f"bundle {one.version} holds {one.holds}; {one.until}" for one in self.bundles]
        if self.open_release is not None:
            said.append(f"release {self.open_release} is open: looks from now on count without this viewer")
        return [*said, f"event log: {self.log}"]


def forget(
    user_id: str,
    *,
    database: Database,
    serving_store: ServingStore,
    bundles: Path,
    archived: int,
    log: str,
    dry_run: bool = False,
) -> Forgotten:
    """Delete a viewer from SQL and the serving store; killed anywhere and run again, it finishes.

    SQL goes first: documents are made of its rows, so none is made again from what is gone.

    Args:
        archived: how many events of the viewer the archive held.
        log: what the event log still holds, for the report.

    Raises:
        InvalidInputError: this cannot be a viewer's id.
        DependencyError: a store did not answer; the same call again is right.
    """
    check_id("user_id", user_id)
    if dry_run:
        with database.read() as connection:
            rows = count_of_viewer(connection, user_id)
    else:
        with database.begin() as connection:
            rows = remove_viewer(connection, user_id)
    keys = {name: keys_of_viewer(serving_store, name, user_id) for name in OF_VIEWERS}
    if not dry_run:
        for name, found in keys.items():
            serving_store.delete_many(name, found)
    with database.read() as connection:
        release, plan = store.open_release(connection), store.current_plan(connection)
    roles = {}
    if plan is not None:
        roles = {plan.main.bundle_digest: "main"}
        if plan.canary is not None:
            roles[plan.canary.bundle_digest] = "canary"
    return Forgotten(
        user_id=user_id,
        dry_run=dry_run,
        rows=rows,
        documents={name: len(found) for name, found in keys.items()},
        archived=archived,
        bundles=traces(bundles, user_id, roles),
        open_release=release.release_id if release is not None else None,
        log=log,
    )


def traces(bundles: Path, user_id: str, roles: Mapping[str, str]) -> tuple[BundleTrace, ...]:
    """The bundles of a store that hold something of a viewer; `roles` says which digest plays what."""
    found = ((ref, _holds(ref.path, user_id)) for ref in list_bundles(bundles))
    return tuple(_trace(ref, holds, roles.get(ref.digest)) for ref, holds in found if holds)


def _trace(ref: BundleRef, holds: str, role: str | None) -> BundleTrace:
    until = IDLE if role is None else PLAYING.format(role=role)
    return BundleTrace(ref.version, format_ms(read_manifest(ref.path).as_of_ms), holds, until)


def _holds(bundle: Path, user_id: str) -> str:
    viewers = bundle / "viewers.json"
    if viewers.is_file() and user_id in msgspec.json.decode(viewers.read_bytes(), type=list[str]):
        return "the id, the history and the factors of the viewer"
    try:
        asked = np.isin(viewer_hashes([user_id]), read_report(bundle).viewers).any()
    except InvalidBundleError:  # it has no offline evaluation, so no figures of anybody
        return ""
    return "a figure of the offline evaluation under a hash of the id" if asked else ""
