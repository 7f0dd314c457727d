"""What an arm answers, checked before any of it reaches a viewer, and what the viewer gets."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from core.ids import ID_PATTERN
from core.recommend_query import RecommendQuery
from load_balancer.connection import Response, UpstreamError

_IDS = re.compile(f"{ID_PATTERN}(?:,{ID_PATTERN})*")


class Item(msgspec.Struct, frozen=True, gc=False):
    """One video of a list. `explanation`: what each source added to the score, where the request asked for it."""

    video_id: str
    score: float
    sources: tuple[str, ...] = ()
    explanation: dict[str, float] | msgspec.UnsetType = msgspec.UNSET


class ArmAnswer(msgspec.Struct, frozen=True, gc=False):
    """The inference service's answer; members we do not know are left out of what viewers see."""

    request_id: str
    user_id: str
    version: str
    degraded: bool
    items: list[Item]


class Recommendation(msgspec.Struct, frozen=True, gc=False):
    """The answer to the viewer. `arm` is main, canary, or static: the plan's list of last resort."""

    request_id: str
    user_id: str
    arm: str
    version: str
    degraded: bool
    items: list[Item]


class Shown(msgspec.Struct, frozen=True, gc=False):
    """A list that can be shown: the ids in it, and the JSON of it that the viewer gets, a `Recommendation`."""

    video_ids: tuple[str, ...]
    degraded: bool
    body: bytes


class RefusedRequestError(UpstreamError):
    """The arm says that the request is wrong (an unknown genre, no such page): no fault of the arm's."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Problem(msgspec.Struct):
    detail: str = ""


class _KnownItem(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An item that may be passed on as it came; a list is read in nine tenths of a tuple's time."""

    video_id: str
    score: float
    sources: list[str] = []
    explanation: dict[str, float] | msgspec.UnsetType = msgspec.UNSET


_decode_problem = msgspec.json.Decoder(_Problem).decode
_decode_known_items = msgspec.json.Decoder(list[_KnownItem]).decode
_decode_answer = msgspec.json.Decoder(ArmAnswer).decode
encode = msgspec.json.Encoder().encode


def read_answer(response: Response, query: RecommendQuery, request_id: str, arm: str, version: str) -> Shown:
    """The answer of `arm`, which should be serving `version`.

    Raises:
        RefusedRequestError: status 400, or 404 where the request says after which other it comes.
        UpstreamError: another status than 200, not the JSON of a recommendation, for another request, by
            another version than the plan says, no video, too many, one twice, or an id that is none.
    """
    if response.status == 400 or (response.status == 404 and query.after is not None):
        raise RefusedRequestError(response.status, problem_detail(response.body))
    if response.status != 200:
        raise UpstreamError(f"status {response.status}")
    shown = _as_it_came(response.body, query, request_id, arm, version)
    if shown is None:
        shown = _made_anew(response.body, query, request_id, arm, version)
    # A genre may have nothing left for a viewer, and pages end; the whole catalogue has always something.
    if shown.video_ids or (query.genre is None and query.after is None):
        check_ids(shown.video_ids, query.count)
    return shown


def _as_it_came(body: bytes, query: RecommendQuery, request_id: str, arm: str, version: str) -> Shown | None:
    """With the arm put in, where the body begins as our own service writes it and its items hold nothing else.

    Every item is decoded and checked all the same; writing them again would cost as much as that.
    """
    whose = f'{{"request_id":"{request_id}","user_id":"{query.user_id}",'
    what = f'"version":"{version}","degraded":false,"items":'
    opening = f"{whose}{what}".encode()
    if not body.startswith(opening) or not body.endswith(b"}"):
        return None
    try:
        items = _decode_known_items(memoryview(body)[len(opening) : -1])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    said = f'{whose}"arm":"{arm}",{what}'.encode()
    return Shown(tuple([item.video_id for item in items]), False, said + body[len(opening) :])


def _made_anew(body: bytes, query: RecommendQuery, request_id: str, arm: str, version: str) -> Shown:
    try:
        answer = _decode_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"not a recommendation: {error}") from None
    if answer.request_id != request_id or answer.user_id != query.user_id:
        raise UpstreamError("the answer to another request")
    if answer.version != version:
        raise UpstreamError(f"version {answer.version[:80]!r} instead of {version!r}")
    return _shown(Recommendation(request_id, query.user_id, arm, version, answer.degraded, answer.items))


def _shown(answer: Recommendation) -> Shown:
    return Shown(tuple([item.video_id for item in answer.items]), answer.degraded, encode(answer))


def check_ids(ids: Sequence[str], count: int) -> None:
    """Hold a list to 1 to `count` ids, each once.

    Raises:
        UpstreamError: says what the list has instead.
    """
    if not 1 <= len(ids) <= count:
        raise UpstreamError(f"{len(ids)} videos where {count} were asked for")
    if len(set(ids)) != len(ids):
        raise UpstreamError("a video twice")
    joined = ",".join(ids)  # one match over all ids costs a tenth of one match each
    if joined.count(",") != len(ids) - 1 or not _IDS.fullmatch(joined):
        raise UpstreamError("a video id that is none")


def problem_detail(body: bytes) -> str:
    """The words of an arm's problem document; empty where there are none."""
    try:
        return _decode_problem(body).detail[:500]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def static_answer(fallback: tuple[str, ...], query: RecommendQuery, request_id: str) -> Shown | None:
    """The plan's trending list, without what the request excludes; None where nothing is left.

    The plan knows neither genres nor what was shown before: a request that says so has no static answer.
    """
    if query.genre is not None or query.after is not None:
        return None
    unwanted = {*query.exclude, query.context_video}
    ids = [video for video in fallback if video not in unwanted][: query.count]
    if not ids:
        return None
    items = [Item(video, 0.0, ("static",)) for video in ids]
    return _shown(Recommendation(request_id, query.user_id, "static", "static", True, items))
