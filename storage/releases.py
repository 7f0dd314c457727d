"""Releases, their traffic plans, looks, verdicts and story: every decision a row with its evidence."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from core.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from core.traffic import TrafficPlan
from storage.batches import insert_new
from storage.tables import evaluations, release_events, releases, traffic_plans, verdicts


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One release. It is open, and no other can start, until `closed_ms` is set.

    `state` belongs to the state machine in `deploy`; `revision` counts the changes, for compare-and-swap.
    `plan` is the plan of the online evaluation, a JSON object.
    """

    release_id: str
    version: str
    bundle_digest: str
    base_version: str
    state: str
    plan: dict[str, Any]
    salt: str
    started_ms: int
    updated_ms: int
    revision: int = 0
    stage: int = 0
    next_look_ms: int | None = None
    reason: str = ""
    forced: bool = False
    closed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One look of an online evaluation and everything it saw.

    `known` says which rows had been read by then, in the words of `deploy`; None where nobody noted it.
    """

    look: int
    at_ms: int
    result: dict[str, Any]
    known: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """How a release ended: `promote`, `roll_back`, `inconclusive` or `invalid`, and why."""

    release_id: str
    verdict: str
    at_ms: int
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReleaseEvent:
    """A line of a release's story."""

    at_ms: int
    kind: str
    text: str


_RELEASE: Final = tuple(f.name for f in fields(ReleaseRow))


def create_release(connection: Connection, row: ReleaseRow) -> ReleaseRow:
    """Open a release.

    Raises:
        RefusedError: another one is open, or this id was used before.
    """
    values = _release_values(row)
    if insert_new(connection, releases, tuple(values), [tuple(values.values())]):
        return row
    blocking = open_release(connection)
    if blocking is None:
        raise RefusedError(f"release {row.release_id} exists already")
    raise RefusedError(
        f"release {blocking.release_id} of {blocking.version} is open ({blocking.state}): end it first"
    )


def get_release(connection: Connection, release_id: str) -> ReleaseRow:
    """One release by its id.

    Raises:
        NotFoundError: there is none; the nearest are named.
    """
    row = connection.execute(select(releases).where(releases.c.release_id == release_id)).first()
    if row is None:
        known = [known.release_id for known in list_releases(connection, 1_000)]
        near = difflib.get_close_matches(release_id, known, n=3, cutoff=0.3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise NotFoundError(f"there is no release {release_id[:80]}{hint}")
    return _release(row)


def open_release(connection: Connection) -> ReleaseRow | None:
    """The release that is going on, if any."""
    row = connection.execute(select(releases).where(releases.c.is_open)).first()
    return None if row is None else _release(row)


def list_releases(connection: Connection, limit: int = 50) -> list[ReleaseRow]:
    """The newest releases first."""
    query = select(releases).order_by(releases.c.started_ms.desc(), releases.c.release_id.desc()).limit(limit)
    return [_release(row) for row in connection.execute(query)]


def update_release(connection: Connection, row: ReleaseRow, expected_revision: int) -> ReleaseRow:
    """Store `row` if nobody changed the release since `expected_revision`; the row as stored.

    Raises:
        ConflictError: somebody did; read again, decide again.
    """
    changed = replace(row, revision=expected_revision + 1)
    t = releases.c
    statement = (
        update(releases)
        .where(t.release_id == row.release_id, t.revision == expected_revision)
        .values(_release_values(changed))
    )
    if connection.execute(statement).rowcount != 1:
        raise ConflictError(f"release {row.release_id} is no longer at revision {expected_revision}")
    return changed


def append_evaluation(
    connection: Connection,
    release_id: str,
    look: int,
    at_ms: int,
    result: dict[str, Any],
    known: dict[str, Any] | None = None,
) -> bool:
    """Store a look once; whether it was new."""
    columns = ("release_id", "look", "at_ms", "result", "known")
    values = (release_id, look, at_ms, _json(result), None if known is None else _json(known))
    return insert_new(connection, evaluations, columns, [values]) == 1


def evaluations_of(connection: Connection, release_id: str) -> list[EvaluationRow]:
    """Every look of a release, in order."""
    t = evaluations.c
    query = select(t.look, t.at_ms, t.result, t.known).where(t.release_id == release_id).order_by(t.look)
    return [
        EvaluationRow(look, at_ms, msgspec.json.decode(result), known and msgspec.json.decode(known))
        for look, at_ms, result, known in connection.execute(query)
    ]


def known_at_looks(connection: Connection, release_id: str) -> list[tuple[int, dict[str, Any]]]:
    """Time of each look and which rows had been read by then, in order, where it was noted."""
    t = evaluations.c
    query = select(t.at_ms, t.known).where(t.release_id == release_id, t.known.is_not(None)).order_by(t.look)
    return [(at_ms, msgspec.json.decode(known)) for at_ms, known in connection.execute(query)]


def record_verdict(connection: Connection, row: VerdictRow) -> bool:
    """Store the verdict of a release; false where it has one already, which then stands."""
    columns = ("release_id", "verdict", "at_ms", "reason", "evidence")
    values = (row.release_id, row.verdict, row.at_ms, row.reason, _json(row.evidence))
    return insert_new(connection, verdicts, columns, [values]) == 1


def verdict_of(connection: Connection, release_id: str) -> VerdictRow | None:
    """How the release ended, if it did."""
    row = connection.execute(select(verdicts).where(verdicts.c.release_id == release_id)).first()
    if row is None:
        return None
    return VerdictRow(row.release_id, row.verdict, row.at_ms, row.reason, msgspec.json.decode(row.evidence))


def publish_plan(connection: Connection, plan: TrafficPlan) -> None:
    """Put a traffic plan in force; load balancers follow at their next poll.

    Raises:
        ConflictError: its epoch is not the one after the plan in force (1 for the first).
    """
    latest = connection.execute(select(func.max(traffic_plans.c.epoch))).scalar_one() or 0
    values = (plan.epoch, plan.created_ms, plan.release_id, msgspec.json.encode(plan).decode())
    columns = ("epoch", "created_ms", "release_id", "plan")
    if plan.epoch != latest + 1 or not insert_new(connection, traffic_plans, columns, [values]):
        raise ConflictError(
            f"a traffic plan of epoch {plan.epoch} cannot follow: epoch {latest} was in force"
        )


def current_plan(connection: Connection) -> TrafficPlan | None:
    """The traffic plan in force, if there ever was one.

    Raises:
        InvalidInputError: the row of the highest epoch holds no traffic plan.
    """
    query = select(traffic_plans.c.plan).order_by(traffic_plans.c.epoch.desc()).limit(1)
    found = connection.execute(query).scalar()
    try:
        return None if found is None else msgspec.json.decode(found, type=TrafficPlan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"the newest row of traffic_plans holds none: {error}") from None


def plans_of(connection: Connection, release_id: str) -> list[TrafficPlan]:
    """The traffic plans of a release, in the order of their epochs."""
    t = traffic_plans.c
    query = select(t.plan).where(t.release_id == release_id).order_by(t.epoch)
    return [msgspec.json.decode(plan, type=TrafficPlan) for plan in connection.execute(query).scalars()]


def append_event(connection: Connection, release_id: str, at_ms: int, kind: str, text: str) -> None:
    """Add a line to a release's story."""
    connection.execute(
        insert(release_events).values(release_id=release_id, at_ms=at_ms, kind=kind, text=text)
    )


def events_of(connection: Connection, release_id: str) -> list[ReleaseEvent]:
    """The story of a release, in the order in which it was told."""
    t = release_events.c
    query = select(t.at_ms, t.kind, t.text).where(t.release_id == release_id).order_by(t.row_id)
    return [ReleaseEvent(*row) for row in connection.execute(query)]


def _release_values(row: ReleaseRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _RELEASE}
    return {**values, "plan": _json(row.plan), "is_open": row.closed_ms is None}


def _release(row: Row[Any]) -> ReleaseRow:
    values = {name: row._mapping[name] for name in _RELEASE}
    return ReleaseRow(**{**values, "plan": msgspec.json.decode(row.plan)})


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
