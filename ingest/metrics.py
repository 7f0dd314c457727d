"""What the reader counts; docs/metrics.md describes each."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.persistence import Stored


class ReaderMetrics:
    """The reader's part of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._records = Counter(
            "understudy_reader_records",
            "Records read, each once however often it was delivered",
            ["topic", "result"],
            registry=registry,
        )
        self._skipped = Counter(
            "understudy_reader_skipped_records",
            "Offsets that the log did not give us: trimmed before they were read, or its own",
            ["topic"],
            registry=registry,
        )
        self._retries = Counter(
            "understudy_reader_retries",
            "Attempts that failed and are repeated: poll, store, documents, commit, lag",
            ["step"],
            registry=registry,
        )
        self.commits_refused = Counter(
            "understudy_reader_commits_refused",
            "Commits refused because another reader took the partition over",
            registry=registry,
        )
        self.lag = Gauge(
            "understudy_reader_lag_records",
            "Records in the log that are not in the account yet",
            ["topic"],
            registry=registry,
        )
        self.last_commit = Gauge(
            "understudy_reader_last_commit_timestamp_seconds",
            "When offsets were last committed, or found complete",
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "understudy_reader_batch_seconds",
            "One poll's whole way: SQL, serving store, commit",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )

    def expect(self, topics: Iterable[str]) -> None:
        """Export a zero where nothing is skipped yet, so that an alert sees the first gap as an increase."""
        for topic in topics:
            self._skipped.labels(topic)

    def stored(self, stored: Stored) -> None:
        """Count one batch, once it is in SQL."""
        for (topic, fate), count in stored.counted.items():
            self._records.labels(topic, fate).inc(count)
        for topic, count in stored.skipped.items():
            self._skipped.labels(topic).inc(count)

    def retry(self, step: str) -> None:
        self._retries.labels(step).inc()
