"""Logged requests, asked once more of a candidate: how its lists, its times and its errors compare.

A request is asked as it would be asked now: what the viewer has watched since is left out of the new list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import msgspec
import numpy as np
import urllib3

from core.errors import DependencyError, InvalidInputError, RefusedError, UnderstudyError
from core.exposures import Exposure
from core.ids import new_id
from core.query_string import MAX_COUNT
from core.recommend_query import RecommendQuery
from core.settings import PlatformSettings
from load_balancer.answers import ArmAnswer
from load_balancer.comparison import compare

TIMEOUT_S = 5.0


class Candidate(Protocol):
    """What is asked. `name` is for people."""

    name: str

    def ask(self, query: RecommendQuery) -> Sequence[str]:
        """The ids of the list. Raises UnderstudyError."""
        ...


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds."""

    median: float
    p99: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to.

    `overlap` and `order` are means over the requests that were answered, each 0 to 1 (see
    `load_balancer.comparison`); `identical` is the share of lists that are the same in every place. `errors`
    counts the requests that were not answered by why, `short` those with fewer videos than were shown.
    """

    candidate: str
    requests: int
    answered: int
    short: int
    errors: dict[str, int]
    overlap: float
    order: float
    identical: float
    latency_ms: Spread
    logged_latency_ms: Spread


@dataclass(frozen=True, slots=True)
class _Asked:
    shown: tuple[str, ...]
    got: tuple[str, ...]
    latency_ms: float


def replay(
    logged: Sequence[Exposure], candidate: Candidate, on_done: Callable[[int], None] = lambda _: None
) -> Replayed:
    """Ask the candidate for each logged request's viewer, as many videos as were shown."""
    asked: list[_Asked] = []
    errors: Counter[str] = Counter()
    for number, exposure in enumerate(logged, 1):
        began = perf_counter()
        try:
            query = RecommendQuery(exposure.user_id, min(len(exposure.items), MAX_COUNT))
            got = tuple(candidate.ask(query))
        except UnderstudyError as error:
            errors[str(error)[:100]] += 1
        else:
            asked.append(_Asked(exposure.items, got, (perf_counter() - began) * 1000))
        on_done(number)
    return _summary(candidate.name, logged, asked, errors)


def _summary(
    name: str, logged: Sequence[Exposure], asked: Sequence[_Asked], errors: Counter[str]
) -> Replayed:
    agreements = [compare(one.shown, one.got) for one in asked]
    return Replayed(
        candidate=name,
        requests=len(logged),
        answered=len(asked),
        short=sum(len(one.got) < len(one.shown) for one in asked),
        errors=dict(errors),
        overlap=_mean(agreement.overlap for agreement in agreements),
        order=_mean(agreement.order for agreement in agreements if agreement.order is not None),
        identical=_mean(float(one.got == one.shown) for one in asked),
        latency_ms=_spread([one.latency_ms for one in asked]),
        logged_latency_ms=_spread([exposure.latency_ms for exposure in logged]),
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _spread(values: Sequence[float]) -> Spread:
    if not values:
        return Spread(0.0, 0.0)
    median, p99 = np.percentile(values, [50, 99])
    return Spread(float(median), float(p99))


class InProcess:
    """A version out of the bundle store, opened here: nothing listens, nothing is started."""

    def __init__(self, platform: PlatformSettings, version: str) -> None:
        from inference.settings import InferenceSettings
        from inference.wiring import build_parts

        self.name = version
        self._parts = build_parts(InferenceSettings.load(), platform, version)

    def ask(self, query: RecommendQuery) -> Sequence[str]:
        from inference.service import recommend

        return [item.video_id for item in recommend(self._parts, query, new_id()).items]


class OverHttp:
    """A running inference service.

    Raises:
        InvalidInputError: `url` is none.
        DependencyError: nobody answers there.
        RefusedError: it is a load balancer, whose answers would count as shown to viewers.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidInputError(f"{url} is no URL")
        self.name = self._url = url.rstrip("/")
        self._http = urllib3.PoolManager(timeout=TIMEOUT_S, retries=False)
        about = self._read("/version", dict[str, Any])
        if about.get("service") != "inference":
            raise RefusedError(f"{url} is no inference service: what it answers would count as shown")

    def ask(self, query: RecommendQuery) -> Sequence[str]:
        answer: ArmAnswer = self._read(query.target(), ArmAnswer)
        return [item.video_id for item in answer.items]

    def _read(self, target: str, kind: Any) -> Any:
        try:
            answer = self._http.request("GET", self._url + target, redirect=False)
            if answer.status != 200:
                raise DependencyError(f"status {answer.status}")
            return msgspec.json.decode(answer.data, type=kind)
        except urllib3.exceptions.LocationValueError:
            raise InvalidInputError(f"{self._url} is no URL") from None
        except urllib3.exceptions.HTTPError as error:
            raise DependencyError(f"no answer: {type(error).__name__}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DependencyError(f"not a recommendation: {error}") from None
