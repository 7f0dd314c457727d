"""From a request to the list: candidates of every source, filters, ranking, the best first. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.recommender.absence import why_absent
from inference.recommender.arrays import I32
from inference.recommender.arrivals import Arrivals
from inference.recommender.bundle import ModelBundle
from inference.recommender.context import Context, LiveTrending, Request, allowed_rows
from inference.recommender.diversity import closest_cold, diversify
from inference.recommender.learned import rank_learned, shortlist
from inference.recommender.moment import Moment, make_moment
from inference.recommender.profile import profile_of
from inference.recommender.ranking import Ranked, candidates, fill, followed_by, rank
from inference.recommender.scores import Scores
from inference.recommender.sinking import sink, with_own_scores
from inference.recommender.sources import SOURCES, trending

MOMENT_MS = 60_000  # without live counts, features of the videos are made anew after this long


@dataclass(frozen=True, slots=True)
class Item:
    """One recommended video. `sources` proposed it; `parts` says what each score added, where asked for."""

    video_id: str
    score: float
    sources: tuple[str, ...]
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The list, best first. `cold` says that nothing was known about the viewer.

    `fate` says in words what became of the request's `explain_video`.
    """

    items: tuple[Item, ...]
    cold: bool
    fate: str | None = None


class Found(NamedTuple):
    """Candidates in order, and which rows each source proposed."""

    ranked: Ranked
    proposed: dict[str, I32]


class Recommender:
    """What a serving process holds: one bundle, and the one way to ask it. Thread-safe.

    With `diverse` lists are mixed as the bundle's blend says; an evaluation asks for the ranker's own order.
    """

    def __init__(self, model: ModelBundle, *, diverse: bool = False) -> None:
        self.model = model
        self._diverse = diverse
        self._moment: Moment | None = None

    def live_trending(self, counts: Mapping[str, float], now_ms: int | None = None) -> LiveTrending:
        """Counts per video id as arrays; made once per refresh of the window, not per request.

        With `now_ms` all that a ranker needs at that moment is made too.
        """
        row_of = self.model.catalogue.row_of
        dense = np.zeros(len(self.model.catalogue), np.float32)
        for video_id, count in counts.items():
            if video_id in row_of:
                dense[row_of[video_id]] = count
        if now_ms is None or self.model.signals is None:
            return LiveTrending(dense)
        return LiveTrending(dense, make_moment(self.model, self.model.signals, dense, now_ms))

    def recommend(
        self,
        request: Request,
        document: Mapping[str, Any] | None,
        live: LiveTrending | None,
        now_ms: int,
        arrivals: Arrivals | None = None,
    ) -> Recommendation:
        """At most `request.count` videos for one viewer, never watched, excluded or of another genre.

        Args:
            request: who asks for what.
            document: the viewer's profile document from the serving store, if any.
            live: what is watched right now, if known.
            now_ms: the time of the request.
            arrivals: videos that the bundle does not have; they get of the places for cold videos the last.

        Raises:
            InvalidInputError: the genre is unknown.
        """
        profile = profile_of(self.model, request.user_id, document)
        context_row = self.model.catalogue.row_of.get(request.context_video or "", -1)
        context = Context(profile, now_ms, live, context_row)
        allowed = allowed_rows(self.model, request, profile)
        found = self._ranked(context, allowed, request)
        if self._mixes:
            found = _with_cold(self.model, found, context, allowed, request.count)
        ranked = fill(self.model, self._list(found.ranked, request), allowed, request.count)
        items = _items(self.model, ranked, found.proposed, request.explain)
        if self._mixes and arrivals is not None:
            watched = _watched_ids(document)
            places = math.floor(self.model.blend.cold_share * request.count)
            items = _with_arrivals(
                items, arrivals.closest(self.model, request, context.recent, watched, places), request.count
            )
        fate = None
        if request.explain_video is not None:
            order = found.ranked.rows
            fate = why_absent(self.model, request, profile, found.proposed, order, ranked.rows)
        return Recommendation(items, cold=not len(context.recent), fate=fate)

    def proposed(self, request: Request, now_ms: int) -> dict[str, I32]:
        """Which rows each source proposes to this viewer, nothing live known."""
        profile = profile_of(self.model, request.user_id, None)
        allowed = allowed_rows(self.model, request, profile)
        return self._ranked(Context(profile, now_ms), allowed, request).proposed

    def moment(self, live: LiveTrending | None, now_ms: int) -> Moment:
        """What holds for every viewer now; kept for a minute where nothing live is known.

        Raises:
            ValueError: the model has no signals to make it from.
        """
        if live is not None and live.moment is not None:
            return live.moment
        if self.model.signals is None:
            raise ValueError("this bundle has no signals for a ranker")
        kept = self._moment
        if live is None and kept is not None and 0 <= now_ms - kept.now_ms < MOMENT_MS:
            return kept
        made = make_moment(self.model, self.model.signals, None if live is None else live.counts, now_ms)
        if live is None:
            self._moment = made
        return made

    def _ranked(self, context: Context, allowed: NDArray[np.bool_], request: Request) -> Found:
        """At least the places of the list, and what else diversity or an explanation may ask for."""
        model = self.model
        count = self._looked_at(request)
        if model.ranker is None or not len(context.history):
            scores = source_scores(model, context)
            rows, proposed = candidates(model, scores, allowed)
            return Found(rank(model, scores, rows, count), proposed)
        found = shortlist(model, self.moment(context.live, context.now_ms), context, allowed)
        return Found(rank_learned(model, found, count, request.explain), found.proposed)

    def _looked_at(self, request: Request) -> int:
        everything = self._mixes or request.sinking or request.explain_video is not None
        return len(self.model.catalogue) if everything else request.count

    def _list(self, ranked: Ranked, request: Request) -> Ranked:
        if not request.sinking:
            return self._shown(ranked, request.count)
        sunk = sink(self.model, ranked, request.sinking)
        return with_own_scores(self._shown(sunk, request.count), ranked)

    @property
    def _mixes(self) -> bool:
        return self._diverse and (self.model.blend.diversity > 0 or self.model.blend.cold_share > 0)

    def _shown(self, ranked: Ranked, count: int) -> Ranked:
        if self._mixes:
            return diversify(self.model, ranked, count)
        parts = {name: part[:count] for name, part in ranked.parts.items()}
        return Ranked(ranked.rows[:count], ranked.scores[:count], parts)


def recommend(
    model: ModelBundle,
    request: Request,
    document: Mapping[str, Any] | None,
    live: LiveTrending | None,
    now_ms: int,
) -> Recommendation:
    """One answer of a `Recommender`; whoever asks more than once keeps one."""
    return Recommender(model).recommend(request, document, live, now_ms)


def source_scores(model: ModelBundle, context: Context) -> dict[str, Scores]:
    """The scores of every source this bundle uses; of trending alone where the others know nothing."""
    found = {name: SOURCES[name].scores(model, context) for name in model.blend.sources}
    known = {name: values for name, values in found.items() if values is not None}
    return known or {"trending": trending.scores(model, context)}


def _with_cold(
    model: ModelBundle, found: Found, context: Context, allowed: NDArray[np.bool_], count: int
) -> Found:
    """The same, and after the last candidate the cold videos that no source proposed but the list has places for."""
    rows = closest_cold(model, context, allowed, found.ranked.rows, count)
    if not len(rows):
        return found
    lowest = float(found.ranked.scores.min(initial=0.0))
    return Found(followed_by(found.ranked, rows, lowest), found.proposed | {"cold": rows})


def _watched_ids(document: Mapping[str, Any] | None) -> set[str]:
    """Of the profile document; the bundle's own history cannot name what the bundle does not have."""
    return {watched[0] for watched in (document or {}).get("watched", ())}


def _with_arrivals(items: tuple[Item, ...], arrived: list[str], count: int) -> tuple[Item, ...]:
    """The list with these as its last; they have no score of their own, so they get the lowest."""
    kept = items[: count - len(arrived)]
    lowest = min((item.score for item in items), default=0.0)
    return (*kept, *(Item(video_id, lowest, ("arrival",)) for video_id in arrived))


def _items(
    model: ModelBundle, ranked: Ranked, proposed: Mapping[str, I32], explain: bool
) -> tuple[Item, ...]:
    reasons = _reasons(ranked.rows, proposed, len(model.catalogue))
    ids, scores = model.catalogue.video_ids, ranked.scores.tolist()
    return tuple(
        Item(
            ids[row],
            scores[place],
            tuple(reasons[row]) or ("popularity",),
            {name: float(part[place]) for name, part in ranked.parts.items()} if explain else {},
        )
        for place, row in enumerate(ranked.rows.tolist())
    )


def _reasons(shown: I32, proposed: Mapping[str, I32], videos: int) -> dict[int, list[str]]:
    """Who proposed each of the rows shown."""
    reasons: dict[int, list[str]] = {row: [] for row in shown.tolist()}
    if not proposed:
        return reasons
    is_shown = np.zeros(videos, np.bool_)
    is_shown[shown] = True
    rows = np.concatenate(list(proposed.values()))
    (places,) = is_shown[rows].nonzero()
    names, ends = list(proposed), np.cumsum([len(of) for of in proposed.values()])
    sources = ends.searchsorted(places, side="right").tolist()
    for row, source in zip(rows[places].tolist(), sources, strict=True):
        reasons[row].append(names[source])
    return reasons
