"""What a replay adds up: lists, errors by reason, short ones; and nothing where nothing was answered."""

from collections.abc import Sequence

from core.errors import DependencyError
from core.recommend_query import RecommendQuery
from tests.ingest_support import exposure
from understudy.replaying import Spread, replay


class Candidate:
    name = "v2"
    answers: dict[str, Sequence[str]] = {"same": "ab", "turned": "ba", "half": "ax", "short": "a"}  # noqa: RUF012

    def ask(self, query: RecommendQuery) -> Sequence[str]:
        assert query.count == 2
        if query.user_id not in self.answers:
            raise DependencyError("status 500")
        return self.answers[query.user_id]


def test_what_is_added_up() -> None:
    users = ("same", "turned", "half", "short", "away", "away")
    logged = [exposure(f"r{n}", user_id=user, items=("a", "b")) for n, user in enumerate(users)]
    done: list[int] = []
    found = replay(logged, Candidate(), done.append)
    assert (found.requests, found.answered, found.short, found.errors) == (6, 4, 1, {"status 500": 2})
    assert (found.overlap, found.order, found.identical) == (0.75, 0.5, 0.25)
    assert found.logged_latency_ms == Spread(3.5, 3.5)
    assert done == [1, 2, 3, 4, 5, 6]


def test_nothing_answered() -> None:
    found = replay([exposure("r1", user_id="away", items=("a", "b"))], Candidate())
    assert (found.answered, found.overlap, found.latency_ms) == (0, 0.0, Spread(0.0, 0.0))
