"""Exposures: what was shown, to whom, by which arm and bundle, in which order. Topic `recommendation_exposures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from core.errors import InvalidEventError

MAX_BATCH = 5_000

# What a SQL column holds: checked when a batch is read, so that no stored row can be refused later.
Text = Annotated[str, msgspec.Meta(max_length=200)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Small = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class Exposure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One answered recommendation request.

    `arm_assigned` is the arm the traffic plan gives this viewer; `arm_served` the one that answered:
    "main", "canary", "static" (the plan's trending list) or "none" (nobody could answer). `outcome` is that
    of the ASSIGNED arm: "ok", "error" (5xx, refused, a body that does not parse), "timeout" or "short"
    (fewer videos than asked for). `latency_ms` is that of the assigned arm's attempt. `forced` marks testers'
    overrides and internal requests, which never enter an evaluation.
    """

    request_id: Text
    user_id: Text
    served_ms: Whole
    arm_assigned: Text
    arm_served: Text
    version: Text
    bundle_digest: Text
    release_id: Text | None
    stage: Small
    epoch: Whole
    items: Annotated[tuple[Text, ...], msgspec.Meta(max_length=1_000)]
    latency_ms: float
    outcome: Text = "ok"
    forced: bool = False
    degraded: bool = False


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Exposure])


def encode_exposures(batch: Sequence[Exposure]) -> bytes:
    """One event-log message holding a batch of exposures."""
    return _encoder.encode(list(batch))


def decode_exposures(value: bytes) -> list[Exposure]:
    """The exposures of one message.

    Raises:
        InvalidEventError: not a JSON list of exposures, or not 1 to 5,000 of them.
    """
    if b"\\u0000" in value:
        raise InvalidEventError("exposures", "a text holds a NUL character")
    try:
        batch = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEventError("exposures", f"not a list of exposures: {error}") from None
    if not 1 <= len(batch) <= MAX_BATCH:
        raise InvalidEventError("exposures", f"a batch of {len(batch)} exposures; 1 to {MAX_BATCH} are taken")
    return batch
