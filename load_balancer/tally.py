"""Counters of what one thread does thousands of times a second, for a tenth of what prometheus_client's cost there.

Its own take a lock for every number and look at bucket after bucket. These are counted by the event loop alone and
read at a scrape, which may be a request behind.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]


class CounterTally(Collector):
    """A counter: `inc` takes the values of the labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: defaultdict[Labels, int] = defaultdict(int)
        registry.register(self)

    def inc(self, *labels: str) -> None:
        self._counts[labels] += 1

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, count)
        yield family


class HistogramTally(Collector):
    """A histogram: `observe` takes the value, and those of the labels."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._text, self._labels, self._buckets = name, text, labels, buckets
        self._names = [*(str(floatToGoString(bound)) for bound in buckets), "+Inf"]  # type: ignore[no-untyped-call]
        self._counts: defaultdict[Labels, list[int]] = defaultdict(lambda: [0] * len(self._names))
        self._sums: defaultdict[Labels, float] = defaultdict(float)
        if not labels:  # there from the start, at 0
            self._counts[()] = [0] * len(self._names)
        registry.register(self)

    def observe(self, value: float, *labels: str) -> None:
        self._counts[labels][bisect_left(self._buckets, value)] += 1
        self._sums[labels] += value

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, counts in list(self._counts.items()):
            buckets = list(zip(self._names, accumulate(counts), strict=True))
            family.add_metric(labels, buckets, self._sums[labels])
        yield family
