"""Thousands of events with bytes changed, in the long form a million: taken or refused, and never an exception."""

import random
from collections import Counter

import pytest

from core.clock import format_ms
from ingest.parsing import parse_record
from ingest.topics import EVENTS
from storage.dead_letters import DeadLetter
from storage.event_log import Record
from tests.ingest_support import NOW
from tests.unit.ingest.test_bad_events import BAD, GOOD, at, search

SEEDS = [
    GOOD,
    search('"space"'),
    at(format_ms(NOW)),
    *(value for value, _ in BAD.values() if len(value) < 500),
]
TOKENS = [
    b'"',
    b"\\",
    b"{}",
    b"null",
    b"true",
    b"1e999",
    b"-0",
    b'"user_id":"u1",',
    b"\\u0000",
    b"\xff",
    b"9" * 30,
]


def mutated(value: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, taken out, doubled or cut off: nonsense that begins as an event."""
    made = bytearray(value)
    for _ in range(draw.randint(1, 4)):
        at_byte, length = draw.randrange(len(made) + 1), draw.randint(0, 8)
        match draw.randrange(4):
            case 0:
                made[at_byte : at_byte + length] = draw.randbytes(draw.randint(0, 6))
            case 1:
                made[at_byte:at_byte] = made[at_byte : at_byte + 3 * length]
            case 2:
                made[at_byte : at_byte + length] = draw.choice(TOKENS)
            case _ if draw.random() < 0.1:
                del made[at_byte:]
    return bytes(made)


@pytest.mark.parametrize("count", [5_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_mutated_events_are_taken_or_refused_and_nothing_else(count: int) -> None:
    draw = random.Random(23)
    results: Counter[str] = Counter()
    for number in range(count):
        value = mutated(draw.choice(SEEDS), draw)
        parsed = parse_record(Record("t", 0, number, NOW, None, value), EVENTS)
        results[parsed.reason if isinstance(parsed, DeadLetter) else type(parsed).__name__] += 1
    print(f"{results.total():,} mutated events: {dict(results.most_common())}")
    assert results.total() == count
    assert results["LoggedInteraction"] and results["malformed"] and results["schema"] and results["id"]
