"""Settings of releases."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from core.settings import PREFIX, Settings


class DeploySettings(Settings):
    """How releases are run on this machine; what decides them is the release plan, not a setting."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}DEPLOY_")

    plan_file: Path | None = Field(
        None, description="JSON file with the release plan that `release start` uses unless it is given one"
    )
    runtime: Literal["process", "container"] = Field(
        "process", description="what a version runs as: a process of this machine, or a container"
    )
    image: str = Field(
        "understudy-serving", description="image of the containers, built from deploy/images/Dockerfile"
    )
    docker_url: str = Field(
        "unix:///var/run/docker.sock",
        description="where the container engine's API is: Docker's, or Podman's (`podman system service`)",
    )
    container_user: str = Field(
        "",
        pattern=r"^([0-9]+:[0-9]+)?$",
        description="UID:GID of a container; empty: the account that runs the platform, or 10001:10001 for root",
    )
    container_memory_mb: int = Field(
        2048,
        ge=128,
        description="memory limit of a container in MiB; beyond it, it is killed and started again",
    )
    container_network: str = Field(
        "",
        description="network of the engine that containers join, or `host`; empty: the engine's own choice",
    )
    ready_s: float = Field(90, gt=0, le=3600, description="seconds a new instance may take to become ready")
    stop_s: float = Field(10, gt=0, le=600, description="seconds between SIGTERM and SIGKILL for an instance")
    drain_s: float = Field(
        3,
        ge=0,
        le=600,
        description="seconds between the traffic plan that leaves an instance out and its stop; longer than "
        "the load balancers' poll interval and their deadline together",
    )
    tick_s: float = Field(
        0.5,
        gt=0,
        le=60,
        description="seconds between two looks of the built-in scheduler for work that is due",
    )
    keep_interactions_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="`understudy retention` deletes interactions received longer ago; 0: kept for ever",
    )
    keep_exposures_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="`understudy retention` deletes exposures served longer ago; 0: kept for ever",
    )
    fallback_count: int = Field(
        50, ge=1, le=500, description="length of the static trending list that is shown when no arm answers"
    )
