"""What the load balancer counts; the names are documented in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from core.traffic import TrafficPlan
from load_balancer.tally import CounterTally, HistogramTally

# From a cache hit on a quick machine to the deadline of a whole request.
SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
TENTHS = tuple(number / 10 for number in range(11))


class BalancerMetrics:
    """One of these a process, on its registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.recommend = RecommendMetrics(registry)
        self.shadow = ShadowMetrics(registry)
        self.plan = PlanMetrics(registry)
        self.shed = Counter(
            "understudy_shed", "Requests turned away because the event loop was late", registry=registry
        )
        self.lookups = Counter(
            "understudy_lookups",
            "Answered /search, /videos/{id}/similar and /trending requests",
            ["lookup", "arm_served"],
            registry=registry,
        )
        events = Counter("understudy_events", "Events posted", ["result"], registry=registry)
        self.events_accepted = events.labels("accepted")
        self.events_rejected = events.labels("rejected")
        exposures = Counter(
            "understudy_exposures",
            "Exposures appended to the event log, or lost",
            ["result"],
            registry=registry,
        )
        self.exposures_appended = exposures.labels("appended")
        self.exposures_lost = exposures.labels("lost")
        self.exposures_waiting = Gauge(
            "understudy_exposures_waiting", "Exposures not yet in the event log", registry=registry
        )


class RecommendMetrics:
    """Of /recommend; counted by the event loop alone."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.served = CounterTally(
            "understudy_recommendations",
            "Answered /recommend requests; outcome is that of the assigned arm",
            ["arm_assigned", "arm_served", "outcome"],
            registry=registry,
        )
        self.seconds = HistogramTally(
            "understudy_recommend_seconds",
            "Whole time of a /recommend request as the viewer sees it",
            buckets=SECONDS,
            registry=registry,
        )
        self.attempt_seconds = HistogramTally(
            "understudy_upstream_seconds",
            "Time of the assigned arm's attempt",
            ["arm"],
            buckets=SECONDS,
            registry=registry,
        )


class ShadowMetrics:
    """Of the copies that a candidate is asked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._copies = Counter(
            "understudy_shadow", "Requests copied to the shadow version", ["outcome"], registry=registry
        )
        self.seconds = Histogram(
            "understudy_shadow_seconds", "Time of a shadow's answer", buckets=SECONDS, registry=registry
        )
        self.overlap = Histogram(
            "understudy_shadow_overlap",
            "Share of the shown videos that the shadow's list has too",
            buckets=TENTHS,
            registry=registry,
        )
        self.order = Histogram(
            "understudy_shadow_order",
            "Share of the pairs of common videos in the same order",
            buckets=TENTHS,
            registry=registry,
        )

    @cache  # noqa: B019  # one of these a process, and a handful of outcomes
    def copies(self, outcome: str) -> Counter:
        """The counter of this outcome; looking a child up by its labels costs more than counting."""
        return self._copies.labels(outcome)


class PlanMetrics:
    """Of the plan in force and its arms."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._epoch = Gauge("understudy_traffic_plan_epoch", "The plan in force", registry=registry)
        self._share = Gauge(
            "understudy_traffic_plan_canary_share",
            "Share of the audience assigned to the canary",
            registry=registry,
        )
        self._age = Gauge(
            "understudy_traffic_plan_age_seconds",
            "Since a plan was last read successfully",
            registry=registry,
        )
        self._ejected = Gauge(
            "understudy_upstream_ejected",
            "1 while an arm is left out because it fails",
            ["arm"],
            registry=registry,
        )

    def watch(
        self,
        plan: Callable[[], TrafficPlan | None],
        plan_age_s: Callable[[], float],
        ejected: Callable[[str], bool],
    ) -> None:
        """Read these at each scrape."""

        def of_plan(value: Callable[[TrafficPlan], float]) -> Callable[[], float]:
            return lambda: float("nan") if (now := plan()) is None else value(now)

        self._epoch.set_function(of_plan(lambda now: now.epoch))
        self._share.set_function(of_plan(lambda now: now.share if now.canary else 0.0))
        self._age.set_function(plan_age_s)
        self._ejected.labels("main").set_function(lambda: ejected("main"))
        self._ejected.labels("canary").set_function(lambda: ejected("canary"))
