"""Traffic read from stored rows gives back what it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.clock import DAY, HOUR
from core.errors import RefusedError
from core.events import Interaction
from core.exposures import Exposure
from deploy.evaluation import ReleasePlan
from deploy.traffic import correlation, measure_traffic
from storage.database import Database, open_database
from storage.exposures import LoggedExposure, store_exposures
from storage.interactions import LoggedInteraction, store_interactions
from tests.release_support import make_tables

NOW_MS = 1_700_000_000_000
PLAN = ReleasePlan()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    make_tables(tmp_path / "understudy.db")
    return open_database(f"sqlite:///{tmp_path}/understudy.db")


def play(database: Database, viewers: int, requests: int, days: float) -> None:
    """Each viewer sends `requests`; a fifth of viewers watch always, the rest never."""
    random = np.random.default_rng(3)
    times = NOW_MS - PLAN.horizon_ms - random.integers(0, int(days * DAY), viewers * requests)
    exposures, interactions = [], []
    for number, served_ms in enumerate(times.tolist()):
        user = number % viewers
        exposures.append(
            LoggedExposure(
                "e",
                0,
                number,
                0,
                Exposure(
                    request_id=f"r{number}",
                    user_id=f"u{user}",
                    served_ms=served_ms,
                    arm_assigned="main",
                    arm_served="main",
                    version="v1",
                    bundle_digest="d",
                    release_id=None,
                    stage=0,
                    epoch=1,
                    items=("a", "b"),
                    latency_ms=5.0,
                    outcome="ok",
                    forced=False,
                    degraded=False,
                ),
            )
        )
        if user % 5 == 0:
            event = Interaction(
                event_id=None,
                user_id=f"u{user}",
                video_id="a",
                event_type="complete",
                details={},
                occurred_ms=served_ms + 1,
                received_ms=served_ms + 1,
                request_id=f"r{number}",
            )
            interactions.append(LoggedInteraction("i", 0, number, event))
    with database.begin() as connection:
        store_exposures(connection, exposures)
        store_interactions(connection, interactions)


def test_traffic_of_the_last_days_is_what_was_played(database: Database) -> None:
    play(database, viewers=200, requests=8, days=2)
    found = measure_traffic(database, PLAN, NOW_MS, days=7)
    assert found.requests_a_day == pytest.approx(800, rel=0.02)
    assert found.base_rate == pytest.approx(0.2)
    assert found.correlation == pytest.approx(1.0)
    assert found.clustering == pytest.approx(8)
    assert found.viewers == 200
    assert found.over_ms == pytest.approx(2 * DAY, rel=0.02)
    assert 190 <= found.viewers_a_day <= 200


def test_hours_of_traffic_are_reckoned_up_to_a_day(database: Database) -> None:
    play(database, viewers=300, requests=1, days=0.25)
    found = measure_traffic(database, PLAN, NOW_MS, days=7)
    assert found.viewers_a_day == pytest.approx(1200, rel=0.05)
    assert found.correlation == 0


def test_too_little_traffic_is_refused_with_a_way_out(database: Database) -> None:
    play(database, viewers=10, requests=3, days=0.1)
    with pytest.raises(RefusedError, match="--viewers-a-day"):
        measure_traffic(database, PLAN, NOW_MS - HOUR, days=7)


def test_correlation_of_a_beta_binomial_audience() -> None:
    random = np.random.default_rng(5)
    for icc in (0.0, 0.1, 0.3):
        requests = random.integers(1, 30, 20_000)
        scale = 1 / icc - 1 if icc else 0
        rates = random.beta(0.1 * scale, 0.9 * scale, requests.size) if icc else np.full(requests.size, 0.1)
        assert correlation(requests, random.binomial(requests, rates)) == pytest.approx(icc, abs=0.01)
