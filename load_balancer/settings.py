"""Settings of the load balancer."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from core.settings import Settings


class BalancerSettings(Settings):
    """The data plane: where it listens and how long it waits for whom."""

    model_config = SettingsConfigDict(env_prefix="UNDERSTUDY_BALANCER_")

    host: str = Field("127.0.0.1", description="address the load balancer listens on")
    port: int = Field(8080, ge=1, le=65535, description="port the load balancer listens on")
    plan_poll_ms: int = Field(
        200, ge=50, le=60_000, description="how often the traffic plan is read: the age a plan can have"
    )
    # 0.6 s is some 100 times the usual answer; two attempts fit into the request's 0.9 s, so that a viewer
    # has an answer, the static list or a 503 within one second whatever happens behind us.
    attempt_ms: int = Field(600, ge=10, le=60_000, description="deadline of one attempt at one arm")
    request_ms: int = Field(900, ge=10, le=120_000, description="deadline of a whole /recommend request")
    # A model of 5 ms on 8 threads answers about 1,000 requests a second: 128 at once are an eighth of a
    # second of waiting. What comes on top is turned away at once instead of waiting longer.
    arm_requests: int = Field(
        128, ge=1, le=10_000, description="requests at once to one arm; beyond it, it counts as busy"
    )
    # Three probes in a row count: a dead arm that nobody asks is known after three seconds.
    probe_ms: int = Field(
        1_000, ge=50, le=60_000, description="how often every arm is asked whether it is ready"
    )
    # Every request waits for the loop five times: a viewer waits a second at most.
    late_ms: int = Field(
        200,
        ge=1,
        le=10_000,
        description="how late the event loop may be for half a second; beyond it, a share of the requests is answered 503",
    )
    # A connection costs some 20 KB; one more than this is answered 503 at once instead of taking memory.
    connections: int = Field(
        2000, ge=10, le=100_000, description="viewers' connections at once; one more is turned away with 503"
    )
    exposure_buffer: int = Field(
        50_000,
        ge=500,
        le=1_000_000,
        description="exposures held while the event log is away; then lost and counted",
    )
    # Longer than any gap between the requests of one page, and short enough for SIGTERM not to wait for idle
    # connections: nothing else ends them.
    keepalive_s: int = Field(
        5, ge=1, le=75, description="after how many idle seconds a viewer's connection is closed"
    )
    # Whatever sends viewers here looks at /readyz every second or two.
    drain_ms: int = Field(
        2_000,
        ge=0,
        le=120_000,
        description="after SIGTERM: how long it still answers, but not ready, so that viewers are sent elsewhere",
    )
    events_ms: int = Field(
        3_000,
        ge=50,
        le=60_000,
        description="how long POST /events waits for the event log before it says 503",
    )

    # A phone on a bad network sends 1 MB in 10 s; whoever needs longer is holding a connection, not sending.
    body_ms: int = Field(
        10_000, ge=50, le=120_000, description="how long the body of POST /events may take to arrive"
    )

    @model_validator(mode="after")
    def _attempt_fits_request(self) -> BalancerSettings:
        if self.attempt_ms > self.request_ms:
            raise ValueError("attempt_ms must not be longer than request_ms")
        return self
