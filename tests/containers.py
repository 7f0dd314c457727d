"""What tests of containers share: options that need no settings, and an end for all of a home."""

from __future__ import annotations

from pathlib import Path

from deploy.container_options import IMAGE_USER, ContainerOptions
from deploy.runtime import Runtime
from deploy.runtime_container import ContainerRuntime


def container_runtime(
    home: Path, url: str, image: str, *, network: str = "", ready_s: float = 60
) -> ContainerRuntime:
    """A runtime of containers with the embedded serving store."""
    options = ContainerOptions(
        image=image, user=IMAGE_USER, memory_mb=512, network=network, folders={"serving": True}
    )
    return ContainerRuntime(home, url, options, ready_s=ready_s, stop_s=5)


def stop_all(runtime: Runtime) -> None:
    for instance in runtime.instances():
        runtime.stop(instance.name)
