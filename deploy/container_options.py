"""What all containers of a platform have in common, from its settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from core.settings import PlatformSettings, child_environment
from deploy.settings import DeploySettings
from inference.settings import InferenceSettings

IMAGE_USER: Final = "10001:10001"  # the account that deploy/images/Dockerfile makes


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """What all containers of a platform have in common.

    `folders` are folders of the home that a container needs beside its bundle: name -> whether it may write.
    `user` is `UID:GID`; `network` a network of the engine, `host`, or empty for the engine's own choice.
    """

    image: str
    user: str
    memory_mb: int = 2048
    network: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, bool] = field(default_factory=dict)


def container_options(platform: PlatformSettings, settings: DeploySettings) -> ContainerOptions:
    """A container gets what the inference service reads, and no other secret or folder of the platform."""
    given = child_environment()
    environment = {name: given[name] for name in InferenceSettings.variables() if name in given}
    environment["UNDERSTUDY_LOG_LEVEL"] = platform.log_level
    mongodb = platform.mongodb_url.get_secret_value()
    if mongodb:
        environment["UNDERSTUDY_MONGODB_URL"] = mongodb
    encoders = platform.encoders.relative_to(platform.home)
    serving = platform.serving.relative_to(platform.home)
    return ContainerOptions(
        image=settings.image,
        user=settings.container_user or _own_account(),
        memory_mb=settings.container_memory_mb,
        network=settings.container_network,
        environment=environment,
        folders={str(encoders): False} | ({} if mongodb else {str(serving): True}),
    )


def _own_account() -> str:
    """Ours, so that it may read what we write; never root."""
    return f"{os.geteuid()}:{os.getegid()}" if os.geteuid() else IMAGE_USER
