"""Raw columns become one ordered, de-duplicated data set; what is odd is said or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from tests.small_model import checkerboard, videos
from training.dataset import Dataset, make_dataset

Event = tuple[str, str, int, float | None]


def dataset(*events: Event) -> Dataset:
    users, ids, times, values = zip(*events, strict=True)
    return make_dataset(videos(4), users, ids, times, values)


def as_events(data: Dataset) -> list[tuple[str, str, int]]:
    return [
        (data.viewers[u], data.videos.ids[v], int(at))
        for u, v, at in zip(data.viewer, data.video, data.at_ms, strict=True)
    ]


def test_interactions_are_in_order_of_time() -> None:
    data = dataset(("b", "m01", 20, 1.0), ("a", "m00", 10, None))
    assert as_events(data) == [("a", "m00", 10), ("b", "m01", 20)]
    assert np.isnan(data.value[0])
    assert data.value[1] == 1


def test_the_newest_of_a_pair_stays() -> None:
    data = dataset(("a", "m00", 30, 5.0), ("a", "m00", 10, 1.0), ("a", "m01", 20, 2.0))
    assert as_events(data) == [("a", "m01", 20), ("a", "m00", 30)]
    assert data.value.tolist() == [2.0, 5.0]


RAW = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["m00", "m01", "x"]), st.integers(0, 5)),
    min_size=1,
    max_size=30,
)


@given(RAW)
def test_it_is_what_a_plain_loop_keeps(raw: list[tuple[str, str, int]]) -> None:
    newest: dict[tuple[str, str], int] = {}
    for user, video, at in raw:
        if video != "x":
            newest[user, video] = max(at, newest.get((user, video), 0))
    events: list[Event] = [(user, video, at, None) for user, video, at in raw]
    if not newest:
        with pytest.raises(InvalidInputError, match="nothing to train on"):
            dataset(*events)
        return
    data = dataset(*events)
    assert {(u, v): at for u, v, at in as_events(data)} == newest
    assert data.at_ms.tolist() == sorted(data.at_ms.tolist())
    assert list(data.viewers) == sorted({user for user, _ in newest})


@given(RAW, st.integers(0, 6), st.integers(0, 6))
def test_before_is_what_would_have_been_made_then(
    raw: list[tuple[str, str, int]], split: int, first: int
) -> None:
    events: list[Event] = [(user, video, at, None) for user, video, at in raw]
    if all(video == "x" for _, video, _ in raw):
        return
    data = dataset(*events)
    then = [event for event in events if event[2] < min(split, first) and event[1] != "x"]
    expected = sorted(as_events(dataset(*then))) if then else []
    assert sorted(as_events(data.before(max(split, first)).before(min(split, first)))) == expected


def test_whoever_is_not_named_is_left_out() -> None:
    data = dataset(("", "m00", 1, 1.0), ("a", "m01", 2, 1.0))
    assert as_events(data) == [("a", "m01", 2)]
    assert "1 interactions name no viewer: left out" in data.warnings


def test_before_and_since_are_the_whole() -> None:
    data = checkerboard()
    split = int(np.median(data.at_ms))
    before, since = data.before(split), data.since(split)
    assert len(before) + len(since) == len(data)
    assert before.at_ms.max() < split <= since.at_ms.min()
    assert before.viewers is data.viewers


def test_a_shift_moves_every_time_alike() -> None:
    data = checkerboard()
    moved = data.shifted(1000)
    assert (moved.at_ms - data.at_ms == 1000).all()
    assert set(moved.videos.added_ms) == {-1}
    assert moved.digest() != data.digest()
    assert moved.shifted(-1000).digest() == data.digest()


def test_the_digest_does_not_depend_on_the_order_of_the_file() -> None:
    events: list[Event] = [("a", "m00", 10, 1.0), ("b", "m01", 20, None), ("c", "m02", 30, 2.0)]
    assert dataset(*events).digest() == dataset(*reversed(events)).digest()


@pytest.mark.parametrize(
    ("events", "warning"),
    [
        ([("a", "m00", 1, 1.0), ("a", "x", 2, 1.0)], "1 interactions name a video that the catalogue lacks"),
        ([("a", "m00", 1, None), ("b", "m00", 2, None)], "no ratings"),
        (
            [("a", "m00", 1, 3.0), ("b", "m00", 2, 3.0), ("b", "m01", 3, None)],
            "all ratings or watched shares are 3",
        ),
        ([("a", "m00", 1, 1.0), ("b", "m00", 1, 1.0)], "all times are equal"),
        ([("a", "m00", 1, 1.0), ("a", "m01", 2, 1.0)], "one viewer only"),
        ([("a", "m00", 1, 1.0), ("b", "m01", 2, 1.0)], "no viewer watched more than one video"),
    ],
)
def test_what_is_missing_is_said(events: list[Event], warning: str) -> None:
    assert any(warning in text for text in dataset(*events).warnings)


def test_missing_genres_are_said() -> None:
    bare = replace(videos(2), genres=((), ()))
    assert any(
        "no video has a genre" in text for text in make_dataset(bare, ["a"], ["m00"], [1], [1]).warnings
    )


def test_missing_texts_are_said() -> None:
    mute = replace(videos(2), genres=((), ()), titles=("", ""))
    assert any(
        "no video has a title" in text for text in make_dataset(mute, ["a"], ["m00"], [1], [1]).warnings
    )


def test_good_data_has_no_warning() -> None:
    assert checkerboard().warnings == ()


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no videos"):
        make_dataset(videos(0), ["a"], ["m00"], [1], [None])
    with pytest.raises(InvalidInputError, match="'m00' is listed twice"):
        make_dataset(replace(videos(2), ids=("m00", "m00")), ["a"], ["m00"], [1], [None])
    with pytest.raises(InvalidInputError, match="before 1970"):
        dataset(("a", "m00", -5, None))


def test_infinite_values_count_as_none() -> None:
    assert np.isnan(dataset(("a", "m00", 1, float("inf"))).value).all()
