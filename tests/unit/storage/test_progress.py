"""The account of offsets as a pure rule: balanced always, and a replay changes nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage.progress import Progress, ProgressDelta, advance

fates = st.sampled_from(["stored", "duplicate", "dead", "tombstone"])
deltas = st.dictionaries(st.integers(0, 40), fates, max_size=12).map(ProgressDelta)


def test_each_fate_is_counted_by_its_name() -> None:
    delta = ProgressDelta({0: "stored", 1: "duplicate", 2: "dead", 3: "tombstone", 4: "stored"})
    assert advance(Progress(0, 0), delta) == Progress(0, 5, stored=2, duplicates=1, dead=1, tombstones=1)


def test_offsets_that_never_came_are_skipped() -> None:
    assert advance(Progress(0, 2, stored=2), ProgressDelta({5: "stored"})) == Progress(
        0, 6, stored=3, skipped=3
    )


@given(st.lists(deltas, max_size=6))
def test_the_account_balances_after_any_deliveries(given_deltas: list[ProgressDelta]) -> None:
    progress = Progress(0, 0)
    for delta in given_deltas:
        progress = advance(progress, delta)
        assert progress.balanced


@given(deltas, deltas)
def test_a_replay_changes_nothing(first: ProgressDelta, second: ProgressDelta) -> None:
    before = advance(advance(Progress(0, 0), first), second)
    assert advance(before, first) == advance(before, second) == before
