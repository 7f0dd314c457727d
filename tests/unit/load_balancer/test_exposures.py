"""Exposures reach the log in batches, wait while it is away, and are counted when they are lost."""

from prometheus_client import CollectorRegistry

from core.events import TOPIC_EXPOSURES
from core.exposures import Exposure, decode_exposures
from load_balancer.exposures import BATCH, MAX_MESSAGE, ExposureWriter, messages
from load_balancer.metrics import BalancerMetrics
from tests.support import wait_until
from tests.unit.load_balancer.fakes import MemoryLog


def exposure(number: int, items: tuple[str, ...] = ("a", "b")) -> Exposure:
    return Exposure(
        request_id=f"r{number}",
        user_id="u",
        served_ms=number,
        arm_assigned="main",
        arm_served="main",
        version="v1",
        bundle_digest="d",
        release_id=None,
        stage=0,
        epoch=1,
        items=items,
        latency_ms=1.0,
    )


def writer(log: MemoryLog, capacity: int = 10_000) -> tuple[ExposureWriter, CollectorRegistry]:
    registry = CollectorRegistry()
    return ExposureWriter(log, BalancerMetrics(registry), capacity), registry


def count(registry: CollectorRegistry, result: str) -> float | None:
    return registry.get_sample_value("understudy_exposures_total", {"result": result})


def written(log: MemoryLog) -> list[str]:
    assert {topic for topic, _ in log.appends} <= {TOPIC_EXPOSURES}
    return [e.request_id for message in log.messages for e in decode_exposures(message.value)]


def test_everything_is_written_in_order_and_in_batches() -> None:
    log = MemoryLog()
    exposures, registry = writer(log)
    sent = [exposure(i) for i in range(2 * BATCH + 10)]
    for one in sent:
        exposures.add(one)
    exposures.start()
    exposures.stop()
    assert written(log) == [e.request_id for e in sent]
    assert [len(decode_exposures(m.value)) for m in log.messages] == [BATCH, BATCH, 10]
    assert count(registry, "appended") == len(sent)
    assert count(registry, "lost") == 0


def test_nothing_waits_long() -> None:
    log = MemoryLog()
    exposures, _ = writer(log)
    exposures.start()
    exposures.add(exposure(1))
    wait_until(lambda: written(log) == ["r1"], 2)
    exposures.stop()


def test_while_the_log_is_away_they_wait() -> None:
    log = MemoryLog()
    log.away = True
    exposures, registry = writer(log)
    for i in range(3):
        exposures.add(exposure(i))
    exposures.start()
    wait_until(lambda: registry.get_sample_value("understudy_exposures_waiting") == 3, 2)
    log.away = False
    exposures.stop()
    assert written(log) == ["r0", "r1", "r2"]
    assert registry.get_sample_value("understudy_exposures_waiting") == 0


def test_beyond_the_buffer_they_are_lost_and_counted() -> None:
    log = MemoryLog()
    exposures, registry = writer(log, capacity=5)
    for i in range(8):
        exposures.add(exposure(i))
    exposures.start()
    exposures.stop()
    assert written(log) == ["r0", "r1", "r2", "r3", "r4"]
    assert count(registry, "lost") == 3


def test_what_the_log_never_took_is_counted_at_the_end() -> None:
    log = MemoryLog()
    log.away = True
    exposures, registry = writer(log)
    exposures.add(exposure(1))
    exposures.start()
    exposures.stop()
    assert count(registry, "lost") == 1


def test_no_message_is_larger_than_a_broker_takes() -> None:
    long_list = tuple(f"{i:064d}" for i in range(100))
    made = messages([exposure(i, long_list) for i in range(BATCH)])
    assert all(len(message.value) <= MAX_MESSAGE for message in made)
    assert [e.request_id for m in made for e in decode_exposures(m.value)] == [f"r{i}" for i in range(BATCH)]
