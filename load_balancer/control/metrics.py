"""Figures of releases, read from the tables at each scrape: a restart forgets nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.clock import SECOND
from core.errors import UnderstudyError
from load_balancer.control.reading import Reader

# Far more than anybody keeps; a bound so that a scrape stays one.
MOST_RELEASES = 10_000
VERDICTS = ("promote", "roll_back", "inconclusive", "invalid")


class ReleaseCollector(Collector):
    """Counts releases by state and verdicts; says nothing while the store is away."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: registering must not need the store."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        try:
            rows = self._reader.rows(MOST_RELEASES)
        except UnderstudyError:
            return
        states = GaugeMetricFamily("understudy_releases", "Releases by state", labels=["state"])
        for state, number in sorted(Counter(row.state for row, _ in rows).items()):
            states.add_metric([state], number)
        yield states
        verdicts = CounterMetricFamily("understudy_verdicts", "Verdicts ever recorded", labels=["verdict"])
        counted = Counter(verdict.verdict for _, verdict in rows if verdict is not None)
        for verdict in VERDICTS:
            verdicts.add_metric([verdict], counted[verdict])
        yield verdicts
        due = [row.next_look_ms for row, _ in rows if row.closed_ms is None and row.next_look_ms is not None]
        if due:
            yield GaugeMetricFamily(
                "understudy_release_next_look_timestamp_seconds",
                "When the open release wants its next look",
                value=due[0] / SECOND,
            )
