"""Simulated releases that are kept: the same as those run, and run once."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from core.clock import HOUR
from deploy.evaluation.figures import PLAN, Studies
from deploy.evaluation.kept import Kept
from deploy.evaluation.simulation import Releases, World

SMALL = World(viewers=200, base_rate=0.4)
SHORT = replace(PLAN, look_every_ms=2 * HOUR, max_duration_ms=26 * HOUR)


def test_what_is_kept_is_what_was_simulated(tmp_path: Path) -> None:
    alone = Studies(0.01).whole(400, 5, SMALL, SHORT)
    again = [Studies(0.01, kept=Kept(tmp_path / "kept")).whole(400, 5, SMALL, SHORT) for _ in range(2)]
    for found in again:
        np.testing.assert_equal(asdict(found), asdict(alone))


def test_each_study_is_run_once(tmp_path: Path) -> None:
    ran: list[str] = []

    def run() -> Releases:
        ran.append("run")
        return Studies(0.01).run(400, 5, SMALL, SHORT)

    for study in ("one", "one", "other"):
        Kept(tmp_path).get(study, run)
    assert len(ran) == 2
