"""Settings of the reader."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from core.events import TOPIC_EXPOSURES, TOPIC_INTERACTIONS
from core.settings import Settings
from ingest.topics import EVENTS, EXPOSURES, KINDS


class IngestSettings(Settings):
    """What the reader reads, in which bites, and when it gives up."""

    model_config = SettingsConfigDict(env_prefix="UNDERSTUDY_INGEST_")

    host: str = Field("127.0.0.1", description="address of the reader's health and metrics")
    port: int = Field(8070, ge=1, le=65535, description="port of the reader's health and metrics")
    group: str = Field("understudy-reader", min_length=1, description="consumer group of the reader")
    topics: str = Field(
        "",
        description="further topics as NAME=KIND, comma-separated; KIND is events, log_lines, exposures or an "
        "event type (view, like, ...) that all events of the topic have",
    )
    # 2,000 rows make a transaction of some 100 ms: commits cost little, and a replay repeats little.
    batch_records: int = Field(2_000, ge=1, le=50_000, description="most records read and stored at once")
    poll_ms: int = Field(500, ge=1, le=10_000, description="how long one poll waits for records")
    retry_first_ms: int = Field(100, ge=1, le=60_000, description="pause before the first retry; it doubles")
    retry_most_ms: int = Field(5_000, ge=1, le=600_000, description="longest pause between two retries")
    dead_letter_limit: int = Field(
        1_000,
        ge=0,
        description="the reader stops before it stores more dead letters than this in one window of records",
    )
    dead_letter_window: int = Field(10_000, ge=1, description="how many records the limit looks back")
    stuck_ms: int = Field(
        60_000, ge=1_000, description="not ready after this time without progress while records wait"
    )

    @field_validator("topics")
    @classmethod
    def _known_kinds(cls, value: str) -> str:
        _kinds(value)
        return value

    @model_validator(mode="after")
    def _retries_grow(self) -> IngestSettings:
        if self.retry_first_ms > self.retry_most_ms:
            raise ValueError("retry_first_ms must not be longer than retry_most_ms")
        return self

    @property
    def kinds(self) -> Mapping[str, str]:
        """Topic -> how its records are parsed; the two topics of the platform are always there."""
        return {TOPIC_INTERACTIONS: EVENTS, TOPIC_EXPOSURES: EXPOSURES, **_kinds(self.topics)}


def _kinds(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        topic, _, kind = part.partition("=")
        if not topic or kind not in KINDS:
            raise ValueError(f"{part!r} is not NAME=KIND with KIND one of {', '.join(KINDS)}")
        if topic in found:
            raise ValueError(f"topic {topic!r} is named twice")
        found[topic] = kind
    return found
