"""Retention: old rows go in batches, what an open release needs stays, and the audit stays clean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.clock import DAY
from core.errors import RefusedError
from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from core.exposures import encode_exposures
from core.traffic import TrafficPlan, Upstream
from deploy.evaluation import ReleasePlan
from deploy.retention import apply_retention
from ingest.audit import audit
from storage import releases as store
from storage.event_log import Message
from storage.event_log_sqlite import SqliteEventLog
from storage.releases import ReleaseRow
from storage.removal import Kind
from tests.ingest_platform import Platform, platform
from tests.ingest_support import NOW, exposure, messages

OPENED = NOW + 3 * DAY
PLAN = ReleasePlan()
RELEASE = ReleaseRow(
    release_id="r1",
    version="v2",
    bundle_digest="sha256:2",
    base_version="v1",
    state="running",
    plan={"kind": "evaluated", "evaluation": PLAN.to_json()},
    salt="s",
    started_ms=OPENED - 60_000,
    updated_ms=OPENED,
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Platform]:
    """Five days, each with 40 interactions and 2 exposures in one record."""
    with platform(tmp_path) as made:
        for day in range(5):
            made.log.append(TOPIC_INTERACTIONS, messages(range(day * 40, day * 40 + 40), NOW))
            shown = [exposure(f"r{day}{n}", served_ms=NOW + day * DAY) for n in range(2)]
            made.log.append(TOPIC_EXPOSURES, [Message(None, encode_exposures(shown))])
            made.clock.move(DAY)  # type: ignore[attr-defined]
        made.read_all()
        yield made


def release_opens(here: Platform, row: ReleaseRow = RELEASE) -> None:
    main = Upstream(version="v1", bundle_digest="sha256:1", url="http://127.0.0.1:1")
    with here.database.begin() as connection:
        store.create_release(connection, row)
        store.publish_plan(
            connection, TrafficPlan(epoch=1, created_ms=OPENED, main=main, release_id=row.release_id)
        )


def both(before_ms: int) -> dict[Kind, int]:
    return {"interactions": before_ms, "exposures": before_ms}


def test_the_embedded_log_keeps_as_long_as_the_rows_and_never_gives_an_offset_again(here: Platform) -> None:
    assert isinstance(here.log, SqliteEventLog)
    before = both(NOW + 2 * DAY)
    assert apply_retention(here.database, before, dry_run=True, log=here.log).log_records == 0
    assert apply_retention(here.database, before, log=here.log).log_records == 2 * (40 + 1)
    here.log.append(TOPIC_INTERACTIONS, messages(range(200, 205)))
    here.read_all()
    assert audit(here.database, here.log).clean
    assert len(here.rows()) == 3 * 40 + 5


def test_what_is_too_old_goes_and_the_audit_stays_clean(here: Platform) -> None:
    report = apply_retention(here.database, both(NOW + 2 * DAY), batch=7)
    assert report.rows == {"interactions": 80, "exposures": 4}
    assert len(here.rows()) == 120
    found = audit(here.database, here.log)
    assert found.clean, found.sentences()
    assert [part.account.removed for part in found.partitions] == [80, 2]
    assert apply_retention(here.database, both(NOW + 2 * DAY)).rows == {"interactions": 0, "exposures": 0}


def test_a_dry_run_counts_and_deletes_nothing(here: Platform) -> None:
    report = apply_retention(here.database, {"interactions": NOW + 2 * DAY}, dry_run=True)
    assert report.sentences() == ["80 interactions from before 2027-01-17T08:00:00.000Z would be deleted"]
    assert len(here.rows()) == 200


def test_what_an_open_release_needs_is_refused_with_its_name(here: Platform) -> None:
    release_opens(here)
    since_ms = OPENED - DAY  # what viewers did on the day before belongs to the comparison
    for dry_run in (True, False):
        with pytest.raises(RefusedError, match="release r1 of v2 is open and its evaluation needs exposures"):
            apply_retention(here.database, {"exposures": since_ms + 1}, dry_run=dry_run)
    assert apply_retention(here.database, both(since_ms)).rows == {"interactions": 80, "exposures": 4}


def test_without_the_habits_of_viewers_a_release_needs_less(here: Platform) -> None:
    plan = {**RELEASE.plan, "evaluation": replace(PLAN, cuped=False).to_json()}
    release_opens(here, replace(RELEASE, plan=plan))
    assert apply_retention(here.database, both(OPENED)).rows["interactions"] == 120


def test_a_closed_release_needs_nothing_any_more(here: Platform) -> None:
    release_opens(here, replace(RELEASE, state="promoted", closed_ms=OPENED + 1))
    assert apply_retention(here.database, both(OPENED + DAY)).rows["interactions"] == 160


def test_a_release_that_opens_in_the_middle_stops_the_deletion(here: Platform) -> None:
    def on_progress(done: int, total: int) -> None:
        assert total == 120
        if done == 30:
            release_opens(here)

    with pytest.raises(RefusedError, match="r1"):
        apply_retention(here.database, {"interactions": OPENED}, batch=10, on_progress=on_progress)
    assert len(here.rows()) == 200 - 30
    assert audit(here.database, here.log).clean
    json.dumps(apply_retention(here.database, both(NOW)).as_json())
