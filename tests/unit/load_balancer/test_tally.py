"""Counters of the event loop say what prometheus_client's own would."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from load_balancer.tally import CounterTally, HistogramTally

BUCKETS = (0.001, 0.5, 1.0)
TIMES = (0.0, 0.001, 0.0011, 0.7, 1.0, 9.0)


def exposed(registry: CollectorRegistry) -> list[str]:
    """Without the times at which they were made."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_counts() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = CounterTally("asked", "How often", ["arm", "outcome"], registry=ours)
    counter = Counter("asked", "How often", ["arm", "outcome"], registry=theirs)
    assert exposed(ours) == exposed(theirs)
    for labels in (("main", "ok"), ("main", "ok"), ("canary", "late")):
        tally.inc(*labels)
        counter.labels(*labels).inc()
    assert exposed(ours) == exposed(theirs)


def test_times() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = HistogramTally("took", "How long", buckets=BUCKETS, registry=ours)
    histogram = Histogram("took", "How long", buckets=BUCKETS, registry=theirs)
    assert exposed(ours) == exposed(theirs)
    for seconds in TIMES:
        tally.observe(seconds)
        histogram.observe(seconds)
    assert exposed(ours) == exposed(theirs)


def test_times_by_label() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = HistogramTally("took", "How long", ["arm"], buckets=BUCKETS, registry=ours)
    histogram = Histogram("took", "How long", ["arm"], buckets=BUCKETS, registry=theirs)
    for seconds in TIMES:
        tally.observe(seconds, "main")
        histogram.labels("main").observe(seconds)
    assert exposed(ours) == exposed(theirs)
