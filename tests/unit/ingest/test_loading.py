from core.clock import DAY
from core.events import TOPIC_INTERACTIONS, parse_event
from ingest.loading import BATCH, HistoryRow, load_history
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
