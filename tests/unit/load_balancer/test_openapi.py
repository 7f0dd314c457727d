"""The description says what the validating code says: the same names, and examples fare alike."""

import json
import re

import jsonschema
import pytest

from core.errors import InvalidEventError, InvalidInputError
from core.events import DETAILS, EventDocument, parse_event
from core.lookup_query import parse_lookup
from core.recommend_query import parse_recommend_query
from load_balancer.openapi import document, event_schema

NOW = 2_000_000_000_000
EXAMPLES = [
    "",
    "m1",
    "x" * 65,
    "home",
    "twitter",
    0,
    1,
    -1,
    4.5,
    101,
    1e30,
    True,
    None,
    [],
    {},
    "a b",
    "a\0b",
]


def parameters(path: str) -> set[str]:
    described = document("0")["paths"][path]["get"]["parameters"]
    return {parameter["name"] for parameter in described if parameter["in"] == "query"}


def known(error: InvalidInputError) -> set[str]:
    return set(str(error).split("known: ")[1].split(", "))


def test_the_parameters_are_those_that_are_known() -> None:
    with pytest.raises(InvalidInputError, match="unknown parameter") as refused:
        parse_recommend_query("u1", "unknown=1")
    assert parameters("/recommend/{user_id}") == known(refused.value)
    for path in ("/search", "/videos/{video_id}/similar", "/trending"):
        with pytest.raises(InvalidInputError, match="unknown parameter") as refused:
            parse_lookup(path.format(video_id="m1"), "unknown=1")
        assert parameters(path) == known(refused.value)


def test_every_type_of_event_is_described_with_every_field() -> None:
    for event in event_schema()["oneOf"]:
        assert event["properties"].keys() == set(EventDocument.__struct_fields__)
    assert [event["properties"]["event_type"]["const"] for event in event_schema()["oneOf"]] == list(DETAILS)


@pytest.mark.parametrize("event_type", DETAILS)
def test_details_that_the_schema_allows_are_those_that_are_taken(event_type: str) -> None:
    schema = event_schema()
    checks, _ = DETAILS[event_type]
    for name in checks:
        for value in EXAMPLES:
            sent = {
                "user_id": "u1",
                "video_id": "m1",
                "event_type": event_type,
                "details": {name: value},
                "timestamp": "2020-01-01T00:00:00Z",
            }
            assert _taken(sent) == jsonschema.Draft202012Validator(schema).is_valid(sent), sent


def _taken(sent: dict[str, object]) -> bool:
    try:
        parse_event(json.dumps(sent).encode(), NOW)
    except InvalidEventError:
        return False
    return True


def test_patterns_are_read_alike_everywhere() -> None:
    # JSON schemas take the expressions of JavaScript; some validators know neither \A and \Z nor \0, which Python knows.
    patterns = re.findall(r'"pattern": "(.*?)"', json.dumps(document("0")))
    assert patterns
    assert not [pattern for pattern in patterns if re.search(r"\\[AZ0]", pattern)]
