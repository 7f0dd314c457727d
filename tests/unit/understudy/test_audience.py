import numpy as np
from scipy import sparse

from understudy.demo.audience import Audience, Behaviour, build_audience
from understudy.demo.player import events_of

EAGER = Behaviour(goes_on=1, own=1, taste=0, other=0, finishes=1)


def test_a_viewer_watches_what_it_really_watched_later_and_nothing_else() -> None:
    audience = Audience({"7": frozenset({"a", "c"})}, {}, EAGER)
    seen = audience.look("7", ["a", "b", "c"], np.random.default_rng(1))
    assert [(w.video_id, w.position) for w in seen] == [("a", 0), ("c", 2)]


def test_a_viewer_without_patience_sees_only_the_first_position() -> None:
    audience = Audience(
        {"7": frozenset({"b"})}, {}, Behaviour(goes_on=0, own=1, taste=0, other=0, finishes=1)
    )
    assert audience.look("7", ["a", "b"], np.random.default_rng(1)) == []


def test_a_higher_position_is_watched_more_often() -> None:
    audience = Audience({"7": frozenset({"hit"})}, {})
    rng = np.random.default_rng(1)
    filler = [f"x{n}" for n in range(19)]
    high = sum(
        any(w.video_id == "hit" for w in audience.look("7", ["hit", *filler], rng)) for _ in range(500)
    )
    low = sum(any(w.video_id == "hit" for w in audience.look("7", [*filler, "hit"], rng)) for _ in range(500))
    assert high > 3 * low


def test_taste_is_what_at_least_three_of_the_nearest_viewers_watched_later() -> None:
    history = sparse.csr_matrix(np.array([[1, 1, 0, 0]] * 5 + [[0, 0, 1, 1]]))
    held_out = sparse.csr_matrix(np.array([[0, 0, 0, 1]] + [[0, 0, 1, 0]] * 4 + [[1, 0, 0, 0]]))
    audience = build_audience(list("uvwxyz"), history, held_out, list("abcd"), neighbours=4)
    assert audience.own["u"] == {"d"}
    assert audience.taste["u"] == {"c"}


def test_each_watched_video_becomes_a_view_and_its_outcome_with_the_request_id() -> None:
    audience = Audience({"7": frozenset({"a"})}, {}, EAGER)
    seen = audience.look("7", ["a"], np.random.default_rng(1))
    events = events_of("7", "r1", seen, 0)
    assert [(e["event_type"], e["request_id"]) for e in events] == [("view", "r1"), ("complete", "r1")]
