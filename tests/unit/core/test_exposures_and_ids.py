from itertools import islice

import msgspec
import pytest

from core.errors import InvalidEventError, InvalidInputError
from core.exposures import Exposure, decode_exposures, encode_exposures
from core.ids import check_id, check_version, new_id, new_ids
from core.traffic import TrafficPlan, Upstream


def exposure(request_id: str) -> Exposure:
    return Exposure(
        request_id=request_id,
        user_id="7",
        served_ms=1,
        arm_assigned="canary",
        arm_served="main",
        version="v1",
        bundle_digest="sha256:0",
        release_id="r",
        stage=1,
        epoch=3,
        items=("1", "2"),
        latency_ms=1.5,
        outcome="timeout",
    )


def test_a_batch_of_exposures_reads_back_as_itself() -> None:
    batch = [exposure("a"), exposure("b")]
    assert decode_exposures(encode_exposures(batch)) == batch


@pytest.mark.parametrize("value", [b"", b"{}", b"[1]", b'[{"request_id": 1}]', b"\xff"])
def test_what_is_no_batch_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidEventError):
        decode_exposures(value)


@pytest.mark.parametrize("value", ["", "a b", "a/b", "a\n", "é", "x" * 65, "-a", None, 3, ".."])
def test_an_id_is_short_plain_ascii(value: object) -> None:
    with pytest.raises(InvalidInputError, match="user_id"):
        check_id("user_id", value)


@pytest.mark.parametrize("value", ["", "..", "a/b", ".hidden", "v1\n"])
def test_a_version_can_be_a_folder_name(value: str) -> None:
    with pytest.raises(InvalidInputError):
        check_version(value)


def test_a_traffic_plan_reads_back_as_itself() -> None:
    plan = TrafficPlan(
        epoch=1,
        created_ms=0,
        main=Upstream(version="v1", bundle_digest="d", url="http://127.0.0.1:1"),
        overrides={"7": "canary"},
    )
    assert msgspec.json.decode(msgspec.json.encode(plan), type=TrafficPlan) == plan


def test_ids_that_come_one_after_the_other_are_ids_and_differ() -> None:
    found = list(islice(new_ids(), 1_000))
    assert len(set(found)) == len(found)
    assert {len(check_id("request_id", one)) for one in (*found, new_id())} == {32}
