"""The HTTP service around the recommender: strict input, degraded rather than failing, problem JSON."""

from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from core.clock import ManualClock
from core.errors import DependencyError, InvalidInputError, NotFoundError
from core.health import ALIVE
from core.lookup_query import LookupQuery
from inference.earlier import Earlier
from inference.lookups import FoundVideo
from inference.profiles import ProfileRead, ShownRead, ShownRequest
from inference.recommender.arrivals import nothing_new
from inference.recommender.context import LiveTrending, Request
from inference.recommender.recommend import Item, Recommendation
from inference.service import REQUEST_ID, ServiceParts, create_app

ARRIVALS = nothing_new(1)


class FakeRecommender:
    """Remembers what it was asked; raises what it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, Mapping[str, Any] | None, object, int]] = []
        self.error: Exception | None = None

    def recommend(
        self,
        request: Request,
        document: Mapping[str, Any] | None,
        live: object,
        now_ms: int,
        arrivals: object,
    ) -> Recommendation:
        assert arrivals is ARRIVALS
        self.asked.append((request, document, live, now_ms))
        if self.error is not None:
            raise self.error
        items = tuple(
            Item(f"m{i}", 0.5, ("als",), {"als": 0.5} if request.explain else {})
            for i in range(request.count)
        )
        return Recommendation(items, cold=False)


class Live:
    current: LiveTrending | None = None
    stale = False


class Profiles:
    result = ProfileRead({"watched": []}, in_time=True)

    shown_before = ShownRead((), in_time=True)

    def read(self, user_id: str) -> ProfileRead:
        return self.result

    def shown(self, user_id: str) -> ShownRead:
        return self.shown_before


class Stage:
    def __init__(self) -> None:
        self.recommender, self.live, self.profiles = FakeRecommender(), Live(), Profiles()
        self.registry = CollectorRegistry()
        self.problems: dict[str, str] = {}
        self.looked_up: list[LookupQuery] = []
        self.lookup_error: Exception | None = None
        parts = ServiceParts(
            version="v1",
            bundle_digest="sha256:1",
            recommender=self.recommender,  # type: ignore[arg-type]
            find=self.find,
            profiles=self.profiles,
            earlier=Earlier(self.profiles, half_life_ms=1000),
            live=self.live,
            arrivals=lambda: ARRIVALS,
            clock=ManualClock(1000),
            registry=self.registry,
            checks={"bundle": lambda: self.problems.get("bundle")},
        )
        self.client: FlaskClient = create_app(parts).test_client()

    def find(self, query: LookupQuery) -> list[FoundVideo]:
        self.looked_up.append(query)
        if self.lookup_error is not None:
            raise self.lookup_error
        return [FoundVideo(f"m{i}", 0.5) for i in range(query.count)]

    def count(self, outcome: str) -> float | None:
        return self.registry.get_sample_value("understudy_inference_total", {"outcome": outcome})


def test_an_answer_is_what_the_load_balancer_expects() -> None:
    stage = Stage()
    answer = stage.client.get("/recommend/u1?count=2", headers={REQUEST_ID: "r1"})
    assert answer.json == {
        "request_id": "r1",
        "user_id": "u1",
        "version": "v1",
        "degraded": False,
        "items": [{"video_id": f"m{i}", "score": 0.5, "sources": ["als"]} for i in range(2)],
    }
    assert stage.recommender.asked == [(Request("u1", 2), {"watched": []}, None, 1000)]
    assert stage.count("ok") == 1


def test_every_parameter_reaches_the_recommender() -> None:
    stage = Stage()
    answer = stage.client.get(
        "/recommend/u1?count=1&exclude=a&exclude=b&genre=Film-Noir%20x&context_video=c&explain=1"
    )
    assert stage.recommender.asked[0][0] == Request("u1", 1, ("a", "b"), "Film-Noir x", "c", explain=True)
    assert answer.json is not None
    assert answer.json["items"][0]["explanation"] == {"als": 0.5}


def test_plain_text_is_the_ids_joined_by_commas() -> None:
    answer = Stage().client.get("/recommend/u1?count=3", headers={"Accept": "text/plain"})
    assert (answer.text, answer.content_type) == ("m0,m1,m2", "text/plain; charset=utf-8")


@pytest.mark.parametrize("path", ["/recommend/u1", "/search?q=x", "/trending", "/livez", "/version"])
def test_head_is_answered_as_get_without_a_body(path: str) -> None:
    client = Stage().client
    asked, whole = client.head(path), client.get(path, headers={REQUEST_ID: "r1"})
    assert (asked.status_code, asked.data) == (200, b"")
    assert asked.content_type == whole.content_type


def test_without_a_request_id_one_is_made() -> None:
    answer = Stage().client.get("/recommend/u1")
    assert answer.json is not None
    assert len(answer.json["request_id"]) == 32


def test_a_profile_that_is_late_makes_the_answer_degraded() -> None:
    stage = Stage()
    stage.profiles.result = ProfileRead(None, in_time=False)
    answer = stage.client.get("/recommend/u1")
    assert (answer.status_code, answer.json and answer.json["degraded"]) == (200, True)
    assert stage.count("degraded") == 1


def test_an_unknown_viewer_is_not_degraded() -> None:
    stage = Stage()
    stage.profiles.result = ProfileRead(None, in_time=True)
    answer = stage.client.get("/recommend/u1")
    assert answer.json is not None
    assert answer.json["degraded"] is False


def test_trending_that_stands_still_makes_the_answer_degraded() -> None:
    stage = Stage()
    stage.live.stale = True
    answer = stage.client.get("/recommend/u1")
    assert answer.json is not None
    assert answer.json["degraded"] is True


@pytest.mark.parametrize(
    "target",
    [
        "a/b",
        "x" * 65,
        "u%00",
        "%D9%A3",
        "u1?count=0",
        "u1?count=1e3",
        "u1?count=1&count=1",
        "u1?x=1",
    ],
)
def test_bad_input_is_400_and_asks_nobody(target: str) -> None:
    stage = Stage()
    answer = stage.client.get(f"/recommend/{target}")
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert stage.recommender.asked == []


def test_a_bad_request_id_is_400() -> None:
    assert Stage().client.get("/recommend/u1", headers={REQUEST_ID: "a b"}).status_code == 400


def test_an_unknown_genre_is_the_callers_mistake() -> None:
    stage = Stage()
    stage.recommender.error = InvalidInputError("genre 'x' is unknown")
    answer = stage.client.get("/recommend/u1?genre=x")
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["detail"] == "genre 'x' is unknown"
    assert stage.count("error") == 0


def test_a_failure_is_a_problem_without_a_trace_of_the_inside() -> None:
    stage = Stage()
    stage.recommender.error = RuntimeError("secret")
    answer = stage.client.get("/recommend/u1")
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert stage.count("error") == 1


def test_pages() -> None:
    stage = Stage()
    assert stage.client.get("/livez").json == ALIVE
    assert stage.client.get("/readyz").status_code == 200
    assert stage.client.get("/version").json == {
        "service": "inference",
        "version": "v1",
        "bundle_digest": "sha256:1",
    }
    assert "understudy_inference_seconds" in stage.client.get("/metrics").text
    stage.problems["bundle"] = "broken"
    assert stage.client.get("/readyz").status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/recommend/u1", 405),
        ("GET", "/nothing", 404),
        ("DELETE", "/livez", 405),
        ("GET", "/recommend/", 404),
    ],
)
def test_errors_are_problems(method: str, path: str, status: int) -> None:
    answer = Stage().client.open(path, method=method)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


@pytest.mark.parametrize(
    ("target", "query"),
    [
        ("/search?q=robots%20in%20love", LookupQuery("search", text="robots in love")),
        ("/search?q=%20caf%C3%A9%20&count=3&genre=Drama", LookupQuery("search", 3, "Drama", text="café")),
        ("/trending?count=2&genre=Film-Noir", LookupQuery("trending", 2, "Film-Noir")),
        ("/videos/m1/similar?exclude=m2&exclude=m3", LookupQuery("similar", 20, None, ("m2", "m3"), video_id="m1")),
    ],
)  # fmt: skip
def test_lookups_reach_the_model_as_they_were_asked(target: str, query: LookupQuery) -> None:
    stage = Stage()
    answer = stage.client.get(target)
    assert stage.looked_up == [query]
    assert answer.json is not None
    assert answer.json.keys() == {"version", "degraded", "items"}
    assert (answer.json["version"], answer.json["degraded"]) == ("v1", False)
    assert answer.json["items"][0] == {"video_id": "m0", "score": 0.5}
    assert len(answer.json["items"]) == query.count
    labels = {"lookup": query.lookup, "outcome": "ok"}
    assert stage.registry.get_sample_value("understudy_inference_lookups_total", labels) == 1


@pytest.mark.parametrize(
    "target",
    ["/search", "/search?q=", "/search?q=%20", "/search?q=%00", "/search?q=%ff", "/search?q=a&q=b", "/search?q=a&limit=3",
     f"/search?q={'x' * 201}", "/search?q=a&count=0", "/trending?q=a", "/trending?count=101", "/videos/a%2Fb/similar",
     "/videos/%20/similar", "/videos/m1/similar?exclude=", "/videos/m1/similar?genre="],
)  # fmt: skip
def test_wrong_lookups_are_problems(target: str) -> None:
    stage = Stage()
    answer = stage.client.get(target)
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert stage.looked_up == []


def test_an_unknown_video_is_404_and_a_missing_encoder_503_with_readiness_untouched() -> None:
    stage = Stage()
    stage.lookup_error = NotFoundError("video 'x' is unknown")
    assert stage.client.get("/videos/x/similar").status_code == 404
    stage.lookup_error = DependencyError("no encoder")
    answer = stage.client.get("/search?q=x")
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert answer.headers["Retry-After"] == "1"
    assert answer.json is not None
    assert answer.json["detail"] == "no encoder"
    assert stage.client.get("/readyz").status_code == 200


def test_trending_says_when_it_stands_still() -> None:
    stage = Stage()
    stage.live.stale = True
    for target, degraded in (("/trending", True), ("/search?q=x", False)):
        answer = stage.client.get(target)
        assert answer.json is not None
        assert answer.json["degraded"] is degraded


def test_a_list_goes_on_after_an_earlier_request() -> None:
    stage = Stage()
    stage.client.get("/recommend/u1?count=2", headers={REQUEST_ID: "r1"})
    stage.client.get("/recommend/u1?count=3&after=r1&exclude=x", headers={REQUEST_ID: "r2"})
    assert stage.client.get("/recommend/u1?count=1&after=r2").status_code == 200
    assert [asked[0].exclude for asked in stage.recommender.asked] == [
        (),
        ("x", "m0", "m1"),
        ("m0", "m1", "m2"),
    ]


def test_a_list_cannot_go_on_after_what_is_not_known() -> None:
    stage = Stage()
    stage.client.get("/recommend/u1", headers={REQUEST_ID: "r1"})
    for target in ("u1?after=r0", "u2?after=r1"):
        answer = stage.client.get(f"/recommend/{target}")
        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_what_was_shown_lately_is_handed_on_only_where_it_is_asked_for() -> None:
    stage = Stage()
    stage.profiles.shown_before = ShownRead((ShownRequest("r0", 0, ("m1", "m2")),), in_time=True)
    stage.client.get("/recommend/u1")
    stage.client.get("/recommend/u1?fresh=1")
    assert [asked[0].sinking for asked in stage.recommender.asked] == [{}, {"m1": 0.5, "m2": 0.5}]


def test_without_what_was_shown_before_the_answer_is_degraded() -> None:
    stage = Stage()
    stage.profiles.shown_before = ShownRead((), in_time=False)
    for target in ("u1?fresh=1", "u1?after=r0"):
        answer = stage.client.get(f"/recommend/{target}")
        assert (answer.status_code, answer.json["degraded"]) == (200, True)
    assert stage.client.get("/recommend/u1").json["degraded"] is False
