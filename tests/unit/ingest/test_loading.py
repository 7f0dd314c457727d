from core.clock import DAY, ManualClock
from core.events import TOPIC_INTERACTIONS, parse_event
from ingest.loading import BATCH, HistoryRow, load_history
from ingest.pacing import Pace
from storage.event_log import Consumer, Message, TopicPartition
from tests.ingest_support import NOW


class MemoryLog:
    def __init__(self) -> None:
        self.appended: list[tuple[str, list[Message]]] = []

    def append(self, topic: str, messages: list[Message]) -> None:  # type: ignore[override]
        self.appended.append((topic, messages))

    def consumer(self, group: str, topics: object) -> Consumer:
        raise NotImplementedError

    def ends(self, topic: str) -> dict[TopicPartition, int]:
        raise NotImplementedError

    def close(self) -> None: ...


ROWS = [HistoryRow(f"u{n % 7}", f"v{n}", 1 + n % 5, NOW - 9 * DAY + n) for n in range(BATCH + 10)]


def test_history_is_sent_as_ratings_in_batches_keyed_by_viewer() -> None:
    log, seen = MemoryLog(), []
    assert load_history(
        log, ROWS, "sha256:abcdef0123", lambda done, total: seen.append((done, total))
    ) == len(ROWS)
    assert [(topic, len(messages)) for topic, messages in log.appended] == [
        (TOPIC_INTERACTIONS, BATCH),
        (TOPIC_INTERACTIONS, 10),
    ]
    assert seen == [(BATCH, BATCH + 10), (BATCH + 10, BATCH + 10)]
    last = log.appended[-1][1][-1]
    sent = parse_event(last.value, NOW)
    assert last.key == sent.user_id == ROWS[-1].user_id
    assert (sent.event_type, sent.details, sent.occurred_ms) == (
        "rating",
        {"rating": ROWS[-1].rating},
        ROWS[-1].occurred_ms,
    )


def test_the_same_data_set_sends_the_same_event_ids_and_another_sends_others() -> None:
    def ids(digest: str) -> list[str | None]:
        log = MemoryLog()
        load_history(log, ROWS[:3], digest)
        return [parse_event(message.value, NOW).event_id for message in log.appended[0][1]]

    assert ids("sha256:abcdef0123") == ["load-abcdef01-0", "load-abcdef01-1", "load-abcdef01-2"]
    assert not set(ids("sha256:abcdef0123")) & set(ids("sha256:0123abcdef"))


def test_a_pace_is_kept_and_what_was_late_catches_up() -> None:
    log, clock = MemoryLog(), ManualClock(NOW)
    sent_at: list[tuple[int, int]] = []

    def on_progress(done: int, total: int) -> None:
        sent_at.append((done, clock.now_ms() - NOW))
        if done == 100:
            clock.move(1_000)  # the log was slow for once

    rows = ROWS[:200]
    assert load_history(log, rows, "sha256:0", on_progress, pace=Pace(clock, 100)) == 200
    assert len(log.appended) == 20
    assert sent_at[:2] == [(10, 0), (20, 100)]
    assert sent_at[9:12] == [(100, 900), (110, 1_900), (120, 1_900)]
    assert sent_at[-1] == (200, 1_900)


def test_a_batch_of_a_pace_is_at_least_one_event_and_at_most_a_whole_batch() -> None:
    clock = ManualClock(NOW)
    assert [Pace(clock, speed).batch(BATCH) for speed in (0.5, 100, 1e9)] == [1, 10, BATCH]
