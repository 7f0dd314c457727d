"""Settings of the inference service."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from core.settings import Settings


class InferenceSettings(Settings):
    """One version's HTTP service."""

    model_config = SettingsConfigDict(env_prefix="UNDERSTUDY_INFERENCE_")

    host: str = Field("127.0.0.1", description="address the inference service listens on")
    port: int = Field(8090, ge=1, le=65535, description="port the inference service listens on")
    # numpy lets go of the interpreter lock in its larger calls only: more threads would add waiting, not work;
    # fewer would let a few slow profile reads hold up everybody, health checks included.
    threads: int = Field(8, ge=1, le=64, description="request threads of the worker")
    profile_ms: int = Field(
        50,
        ge=1,
        le=5_000,
        description="deadline of reading a viewer's profile; beyond it the answer is degraded",
    )
    shown_half_life_minutes: float = Field(
        360,
        gt=0,
        le=1_440,
        allow_inf_nan=False,
        description="age at which having been shown counts half for lists with fresh=1",
    )
    trending_minutes: int = Field(360, ge=1, le=1_440, description="length of the live trending window")
    trending_half_life_minutes: float = Field(
        60,
        gt=0,
        le=1_440,
        allow_inf_nan=False,
        description="age at which an interaction counts half in live trending",
    )
