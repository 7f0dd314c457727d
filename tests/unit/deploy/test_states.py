"""The state machine, for any sequence of happenings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RefusedError
from core.traffic import Upstream
from deploy.states import (
    BEFORE_SHIFT,
    CLOSED,
    OPEN,
    WITHDRAWING,
    Asked,
    CanaryStarted,
    Drained,
    GiveVerdict,
    Happening,
    Looked,
    MainStarted,
    Pace,
    PublishCanary,
    PublishMain,
    PublishMainOnly,
    SmokePassed,
    StartFailed,
    transition,
)
from storage.releases import ReleaseRow
from tests.release_support import look_result

PACE = Pace(shares=(0.1, 0.5), look_every_ms=1_000, on_inconclusive="roll_back", drain_ms=100)
CANARY = Upstream(version="v2", bundle_digest="sha256:2", url="http://127.0.0.1:2")
MAIN = Upstream(version="v2", bundle_digest="sha256:2", url="http://127.0.0.1:3")
ROW = ReleaseRow(
    release_id="r",
    version="v2",
    bundle_digest="sha256:2",
    base_version="v1",
    state="starting",
    plan={},
    salt="s",
    started_ms=0,
    updated_ms=0,
)

decisions = st.sampled_from(
    ["continue", "step_ramp", "promote", "roll_back", "hold", "invalid", "inconclusive"]
)
looks = st.builds(
    lambda decision, latest, blind, alone: Looked(
        look_result(1, 1_000, decision, main_only=blind), latest=latest, alone=alone
    ),
    decisions,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
happenings = st.one_of(
    st.just(CanaryStarted()),
    st.just(SmokePassed(CANARY, 5)),
    st.builds(StartFailed, st.just("broken"), st.integers(1, 3)),
    looks,
    st.just(MainStarted(MAIN)),
    st.just(Drained()),
    st.builds(
        Asked, st.sampled_from(["abort", "roll_back", "promote", "pause", "resume"]), st.just("because")
    ),
)


@given(st.lists(happenings, max_size=30), st.sampled_from(["ask", "extend", "roll_back"]))
def test_whatever_happens_the_rules_of_a_release_hold(sequence: list[Happening], policy: str) -> None:
    pace = Pace((0.1, 0.5), 1_000, policy, 100)
    row, played, verdicts, now_ms = ROW, 0, [], 0
    for happening in sequence:
        now_ms += 1
        try:
            after = transition(row, pace, happening, now_ms)
        except RefusedError:
            continue
        assert row.closed_ms is None, "a closed release never moves"
        assert after.row.state in OPEN | CLOSED
        assert (after.row.closed_ms is not None) == (after.row.state in CLOSED)
        assert after.row.stage >= row.stage
        writes = after.writes
        verdicts += [write.verdict for write in writes if isinstance(write, GiveVerdict)]
        played += sum(isinstance(write, PublishCanary) for write in writes)
        if after.row.state in WITHDRAWING and row.state not in WITHDRAWING:
            assert any(isinstance(write, PublishMainOnly) for write in writes), "main only, at once"
        if any(isinstance(write, PublishMain) for write in writes):
            assert row.state == "promoting"
        if row.state == "shifted":
            assert after.row.state == "promoted", "nothing brings the old main back"
        row = after.row
    if row.state == "promoted":
        assert verdicts[-1] == "promote"
        assert played > 0
    if row.state in set(WITHDRAWING.values()) and not played:
        assert row.stage == 0


def test_a_look_that_came_late_opens_no_share() -> None:
    row = transition(transition(ROW, PACE, CanaryStarted(), 1).row, PACE, SmokePassed(CANARY, 5), 2).row
    step = look_result(1, 1_000, "step_ramp")
    assert transition(row, PACE, Looked(step, latest=False), 3).row.stage == 1
    assert transition(row, PACE, Looked(step), 3).row.stage == 2


def test_the_last_stage_has_no_next() -> None:
    row = transition(transition(ROW, PACE, CanaryStarted(), 1).row, PACE, SmokePassed(CANARY, 5), 2).row
    for number in range(1, 4):
        row = transition(row, PACE, Looked(look_result(1, number, "step_ramp", stage=row.stage)), number).row
    assert row.stage == 2


@pytest.mark.parametrize("state", sorted(OPEN - BEFORE_SHIFT))
def test_an_abort_that_comes_too_late_is_refused(state: str) -> None:
    from dataclasses import replace

    with pytest.raises(RefusedError, match="cannot abort"):
        transition(replace(ROW, state=state), PACE, Asked("abort", "late"), 1)


def test_extending_goes_on_after_an_inconclusive_look() -> None:
    row = transition(transition(ROW, PACE, CanaryStarted(), 1).row, PACE, SmokePassed(CANARY, 5), 2).row
    pace = Pace((0.1, 0.5), 1_000, "extend", 100)
    after = transition(row, pace, Looked(look_result(1, 1_000, "inconclusive")), 3)
    assert (after.row.state, after.row.next_look_ms) == ("running", 2_000)
    assert not any(isinstance(write, GiveVerdict) for write in after.writes)
