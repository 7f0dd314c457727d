"""Releases, traffic plans, looks and verdicts, against SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Connection, insert

from core.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from core.traffic import TrafficPlan, Upstream
from storage.database import Database
from storage.releases import (
    EvaluationRow,
    ReleaseRow,
    VerdictRow,
    append_evaluation,
    append_event,
    create_release,
    current_plan,
    evaluations_of,
    events_of,
    get_release,
    known_at_looks,
    list_releases,
    open_release,
    plans_of,
    publish_plan,
    record_verdict,
    update_release,
    verdict_of,
)
from storage.tables import traffic_plans

MAIN = Upstream(version="v1", bundle_digest="sha256:01", url="http://127.0.0.1:1")


def release(release_id: str = "r1", started_ms: int = 1) -> ReleaseRow:
    return ReleaseRow(
        release_id=release_id,
        version="v2",
        bundle_digest="sha256:02",
        base_version="v1",
        state="starting",
        plan={"window_ms": 1, "ramp": [[0.1, 10]], "note": "é"},
        salt="s",
        started_ms=started_ms,
        updated_ms=started_ms,
        next_look_ms=5,
        forced=True,
    )


def plan(epoch: int, release_id: str | None = None) -> TrafficPlan:
    return TrafficPlan(
        epoch=epoch,
        created_ms=1,
        main=MAIN,
        release_id=release_id,
        fallback=("v1",),
        overrides={"u": "canary"},
    )


def outcomes(database: Database, act: Callable[[Connection, int], object]) -> list[str]:
    """What eight racers got, each in a transaction of its own."""

    def race(racer: int) -> str:
        try:
            with database.begin() as connection:
                act(connection, racer)
        except RefusedError as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(8) as pool:
        return sorted(pool.map(race, range(8)))


def test_a_release_is_read_as_it_was_written(database: Database) -> None:
    with database.begin() as connection:
        create_release(connection, release())
        assert get_release(connection, "r1") == open_release(connection) == release()


def test_only_one_release_is_open(database: Database) -> None:
    with database.begin() as connection:
        create_release(connection, release())
        with pytest.raises(RefusedError, match="r1 of v2 is open"):
            create_release(connection, release("r2"))
        update_release(connection, replace(release(), closed_ms=9), expected_revision=0)
        assert open_release(connection) is None
        create_release(connection, release("r2", started_ms=2))
        assert [row.release_id for row in list_releases(connection)] == ["r2", "r1"]
        assert [row.release_id for row in list_releases(connection, limit=1)] == ["r2"]


def test_an_id_is_not_used_twice(database: Database) -> None:
    with database.begin() as connection:
        create_release(connection, replace(release(), closed_ms=1))
        with pytest.raises(RefusedError, match="r1 exists"):
            create_release(connection, replace(release(), closed_ms=1))


def test_of_racers_one_opens_a_release(database: Database) -> None:
    got = outcomes(database, lambda connection, racer: create_release(connection, release(f"r{racer}")))
    assert got == ["RefusedError"] * 7 + ["done"]


def test_an_unknown_release_is_not_found(database: Database) -> None:
    with database.read() as connection:
        assert open_release(connection) is None
        assert list_releases(connection) == []
        with pytest.raises(NotFoundError, match="r9"):
            get_release(connection, "r9")


def test_an_unknown_release_is_answered_with_the_nearest(database: Database) -> None:
    with database.begin() as connection:
        create_release(connection, release("v2-bae321e9"))
        for asked in ("v2", "v2-bae3"):
            with pytest.raises(NotFoundError, match=f"no release {asked}; nearest: v2-bae321e9"):
                get_release(connection, asked)


def test_an_update_counts_the_revision_and_loses_to_another(database: Database) -> None:
    with database.begin() as connection:
        create_release(connection, release())
        changed = update_release(
            connection, replace(release(), state="ramping", stage=2), expected_revision=0
        )
        assert changed == get_release(connection, "r1")
        assert (changed.revision, changed.state, changed.stage) == (1, "ramping", 2)
        with pytest.raises(ConflictError, match="revision 0"):
            update_release(connection, release(), expected_revision=0)


def test_of_racers_one_updates(database: Database) -> None:
    with database.begin() as connection:
        create_release(connection, release())
    got = outcomes(
        database, lambda connection, racer: update_release(connection, replace(release(), stage=racer), 0)
    )
    assert got == ["ConflictError"] * 7 + ["done"]


def test_a_look_is_stored_once(database: Database) -> None:
    with database.begin() as connection:
        assert append_evaluation(connection, "r1", 2, 20, {"theta": 0.1}, {"row": 7})
        assert append_evaluation(connection, "r1", 1, 10, {"log_e": [1, None, -2.5]})
        assert not append_evaluation(connection, "r1", 2, 99, {"theta": 9})
        assert evaluations_of(connection, "r1") == [
            EvaluationRow(1, 10, {"log_e": [1, None, -2.5]}),
            EvaluationRow(2, 20, {"theta": 0.1}, {"row": 7}),
        ]
        assert known_at_looks(connection, "r1") == [(20, {"row": 7})]


def test_a_release_has_one_verdict(database: Database) -> None:
    first = VerdictRow("r1", "promote", 5, "no worse", {"e": 21.0})
    with database.begin() as connection:
        assert verdict_of(connection, "r1") is None
        assert record_verdict(connection, first)
        assert not record_verdict(connection, VerdictRow("r1", "roll_back", 6, "late"))
        assert verdict_of(connection, "r1") == first


def test_the_plan_with_the_highest_epoch_is_in_force(database: Database) -> None:
    with database.begin() as connection:
        assert current_plan(connection) is None
        publish_plan(connection, plan(1))
        publish_plan(connection, plan(2, "r1"))
        publish_plan(connection, plan(3, "r1"))
        assert current_plan(connection) == plan(3, "r1")
        assert plans_of(connection, "r1") == [plan(2, "r1"), plan(3, "r1")]


@pytest.mark.parametrize("written", ["{", "null", '{"epoch":2}', "[" * 100_000])
def test_a_row_that_holds_no_plan_is_refused_by_name(database: Database, written: str) -> None:
    with database.begin() as connection:
        connection.execute(insert(traffic_plans).values(epoch=2, created_ms=0, plan=written))
        with pytest.raises(InvalidInputError, match="the newest row of traffic_plans holds none"):
            current_plan(connection)


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_an_epoch_follows_the_one_before(database: Database, epoch: int) -> None:
    with database.begin() as connection:
        publish_plan(connection, plan(1))
        with pytest.raises(ConflictError, match=f"epoch {epoch} cannot follow"):
            publish_plan(connection, plan(epoch))


def test_of_racers_one_publishes(database: Database) -> None:
    got = outcomes(database, lambda connection, racer: publish_plan(connection, plan(1, f"r{racer}")))
    assert got == ["ConflictError"] * 7 + ["done"]


def test_the_story_is_told_in_its_order(database: Database) -> None:
    with database.begin() as connection:
        append_event(connection, "r1", 5, "started", "second by time, first told")
        append_event(connection, "r1", 4, "note", "told later")
        append_event(connection, "r2", 1, "note", "another release")
        assert [event.kind for event in events_of(connection, "r1")] == ["started", "note"]
