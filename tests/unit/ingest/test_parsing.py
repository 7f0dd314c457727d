from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from core.exposures import encode_exposures
from ingest.parsing import Tombstone, parse_batch, parse_record
from ingest.settings import IngestSettings
from ingest.topics import EVENTS, EXPOSURES, LOG_LINES
from storage.dead_letters import DeadLetter
from storage.event_log import LogPosition, Record, TopicPartition
from storage.exposures import LoggedExposure
from storage.interactions import LoggedInteraction
from tests.ingest_support import NOW, event, exposure, message


def record(
    value: bytes | None, offset: int = 5, topic: str = TOPIC_INTERACTIONS, partition: int = 2
) -> Record:
    return Record(topic, partition, offset, NOW, "u1", value)


def test_an_event_becomes_an_interaction_received_when_the_log_received_it() -> None:
    sent = event(1, at_ms=NOW - 5_000)
    parsed = parse_record(record(message(sent).value), EVENTS)
    assert isinstance(parsed, LoggedInteraction)
    assert parsed.position == (TOPIC_INTERACTIONS, 2, 5)
    assert (parsed.interaction.occurred_ms, parsed.interaction.received_ms) == (sent.occurred_ms, NOW)


def test_a_record_without_a_value_is_a_tombstone() -> None:
    assert parse_record(record(None), EVENTS) == Tombstone(LogPosition(TOPIC_INTERACTIONS, 2, 5))


def test_a_bad_record_is_a_dead_letter_with_its_bytes_and_reason() -> None:
    assert parse_record(record(b"{"), EVENTS) == DeadLetter(
        TOPIC_INTERACTIONS, 2, 5, "malformed", "not JSON: Input data was truncated", b"{", NOW
    )


def test_a_batch_of_exposures_keeps_its_order_within_the_record() -> None:
    parsed = parse_record(record(encode_exposures([exposure("a"), exposure("b")])), EXPOSURES)
    assert isinstance(parsed, tuple)
    assert [(shown.item, shown.exposure.request_id) for shown in parsed] == [(0, "a"), (1, "b")]


def test_an_empty_or_poisoned_batch_of_exposures_is_a_dead_letter() -> None:
    poisoned = encode_exposures([exposure("a\0b")])
    huge = encode_exposures([exposure("a", stage=2**31)])
    deep = encode_exposures([exposure("a")]).replace(b"{", b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b",", 1)
    for value in (b"[]", poisoned, huge, deep):
        parsed = parse_record(record(value), EXPOSURES)
        assert isinstance(parsed, DeadLetter) and parsed.reason == "exposures"


def test_a_log_line_that_shows_a_list_is_an_exposure() -> None:
    line = b"2026-01-31T12:00:00,u1,recommendation request h, status 200, result: v1, v2, 12 ms"
    parsed = parse_record(record(line), LOG_LINES)
    assert isinstance(parsed, tuple)
    assert [(row.offset, row.item, row.exposure.items) for row in parsed] == [(5, 0, ("v1", "v2"))]


def test_a_topic_of_one_type_takes_no_other_and_needs_no_name_for_it() -> None:
    full = message(event(1)).value
    bare = full.replace(b'"event_type":"rating",', b"")
    assert isinstance(parse_record(record(full), "rating"), LoggedInteraction)
    assert isinstance(parse_record(record(bare), "rating"), LoggedInteraction)
    for value, kind in ((full, "view"), (bare, EVENTS)):
        refused = parse_record(record(value), kind)
        assert isinstance(refused, DeadLetter) and refused.reason == "schema"


def test_a_poll_is_sorted_and_says_where_to_read_on() -> None:
    batch = parse_batch(
        [
            record(message(event(1)).value, 7),
            record(b"nonsense", 8),
            record(None, 9),
            record(encode_exposures([exposure("a")]), 3, TOPIC_EXPOSURES, 0),
        ],
        IngestSettings().kinds,
    )
    assert batch.records == 4
    assert [row.offset for row in batch.interactions] == [7]
    assert [letter.offset for letter in batch.dead_letters] == [8]
    assert [tombstone.position.offset for tombstone in batch.tombstones] == [9]
    assert [type(shown) for shown in batch.exposures] == [LoggedExposure]
    assert batch.following == {
        TopicPartition(TOPIC_INTERACTIONS, 2): 10,
        TopicPartition(TOPIC_EXPOSURES, 0): 4,
    }
