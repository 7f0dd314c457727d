"""Runtime of containers: `understudy serve VERSION` from one image, through the API that Docker and Podman speak.

The engine keeps the record: a container's labels say what it serves and on which port of loopback. A container
has its own bundle (read-only), the folder of the embedded serving store where that is in use, and nothing else
of this machine. `logs/NAME.log` gets what a container has said once it ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import Mount

from core.errors import DependencyError
from deploy.container_options import ContainerOptions
from deploy.local import HOST, choose_port, locked, wait_ready
from deploy.runtime import Instance

# Labels of a container of ours.
HOME, NAME, VERSION, DIGEST, PORT = (
    f"understudy.{what}" for what in ("home", "name", "version", "digest", "port")
)
INSIDE = "/var/lib/understudy"  # the image's UNDERSTUDY_HOME
INNER_PORT = 8080
HOST_NETWORK = "host"
PORT_ATTEMPTS = 5


class ContainerRuntime:
    """See `Runtime`. `home` is the platform's folder, `url` where the engine's API is."""

    def __init__(
        self, home: Path, url: str, options: ContainerOptions, *, ready_s: float = 90, stop_s: float = 10
    ) -> None:
        self._home = home.resolve()
        self._url = url
        self._options = options
        self._ready_s = ready_s
        self._stop_s = stop_s
        self._locks = self._home / "run" / "instances"
        self._logs = self._home / "logs"
        for folder in (self._locks, self._logs):
            folder.mkdir(parents=True, exist_ok=True)

    def start(self, version: str, digest: str, name: str) -> Instance:
        with locked(self._locks, name), self._asking():
            container = self._find(name)
            if container is None or not _serves(container, version, digest):
                container = self._put_in_place(container, version, digest, name)
        instance = _instance(container)
        wait_ready(
            name, instance.url, self._ready_s, lambda: self._runs(name), lambda: self._last_words(name)
        )
        return instance

    def stop(self, name: str) -> None:
        with locked(self._locks, name), self._asking():
            container = self._find(name)
            if container is not None:
                self._end(container)

    def instances(self) -> list[Instance]:
        ours = {"label": f"{HOME}={self._home}"}
        with self._asking():
            found = self._engine.containers.list(all=True, ignore_removed=True, filters=ours)
        return sorted(map(_instance, found), key=lambda instance: instance.name)

    def _put_in_place(self, before: Container | None, version: str, digest: str, name: str) -> Container:
        """A new container of this name, running; on the port of the one before it if that is free."""
        self._prepare_folders()
        port = None
        if before is not None:
            port = int(before.labels[PORT])
            self._end(before)
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = choose_port(port)
            container = self._create(version, digest, name, port)
            try:
                container.start()
            except APIError as error:
                container.remove(v=True, force=True)
                if attempt == PORT_ATTEMPTS or not _port_is_taken(error):
                    raise
                port = None
                continue
            container.reload()
            return container
        raise AssertionError("unreachable")

    def _create(self, version: str, digest: str, name: str, port: int) -> Container:
        options = self._options
        labels = {HOME: str(self._home), NAME: name, VERSION: version, DIGEST: digest, PORT: str(port)}
        inner = port if options.network == HOST_NETWORK else INNER_PORT
        return self._engine.containers.create(
            options.image,
            ["serve", version, "--port", str(inner)],
            name=self._container_name(name),
            labels=labels,
            environment=self._environment(inner),
            user=options.user,
            mounts=self._mounts(version),
            read_only=True,
            # The image declares a volume there: without this each container would leave one behind.
            tmpfs={"/tmp": "mode=1777", INSIDE: "mode=0755"},  # noqa: S108 - inside the container
            mem_limit=f"{options.memory_mb}m",
            memswap_limit=f"{options.memory_mb}m",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            **self._networking(port),
        )

    def _environment(self, inner: int) -> dict[str, str]:
        host = HOST if self._options.network == HOST_NETWORK else "0.0.0.0"  # noqa: S104 - published on loopback
        return {
            **self._options.environment,
            "UNDERSTUDY_INFERENCE_HOST": host,
            "HEALTH_URL": f"http://{HOST}:{inner}/livez",
        }

    def _networking(self, port: int) -> dict[str, Any]:
        if self._options.network == HOST_NETWORK:
            return {"network_mode": HOST_NETWORK}
        named = {"network": self._options.network} if self._options.network else {}
        return {"ports": {f"{INNER_PORT}/tcp": (HOST, port)}, **named}

    def _mounts(self, version: str) -> list[Mount]:
        writable = {f"bundles/{version}": False, **self._options.folders}
        return [
            Mount(f"{INSIDE}/{folder}", str(self._home / folder), type="bind", read_only=not may_write)
            for folder, may_write in writable.items()
        ]

    def _prepare_folders(self) -> None:
        """The engine mounts only what exists, and a container writes only what its account owns."""
        for name, may_write in self._options.folders.items():
            folder = self._home / name
            folder.mkdir(parents=True, exist_ok=True)
            if may_write and os.geteuid() == 0:  # else they run as the same account anyway
                uid, gid = map(int, self._options.user.split(":"))
                for path in (folder, *folder.iterdir()):
                    os.chown(path, uid, gid)

    def _end(self, container: Container) -> None:
        """SIGTERM, SIGKILL when the grace is over, its last words into the log, and away with it."""
        with contextlib.suppress(NotFound):
            if container.status == "running":
                container.stop(timeout=math.ceil(self._stop_s))
            with (self._logs / f"{container.labels[NAME]}.log").open("ab") as log:
                log.write(container.logs(tail=1_000))
            container.remove(v=True, force=True)

    def _find(self, name: str) -> Container | None:
        try:
            return self._engine.containers.get(self._container_name(name))
        except NotFound:
            return None

    def _runs(self, name: str) -> bool:
        with self._asking():
            container = self._find(name)
            return container is not None and container.status == "running"

    def _last_words(self, name: str) -> str:
        with self._asking():
            container = self._find(name)
            lines = [] if container is None else container.logs(tail=8).decode(errors="replace").splitlines()
        return f"the end of its log says: {' | '.join(lines)[-800:] or '(nothing)'}"

    def _container_name(self, name: str) -> str:
        """Unique on an engine that several platforms share; the engine lets nobody take it twice."""
        return f"understudy-{hashlib.sha256(str(self._home).encode()).hexdigest()[:8]}-{name}"

    @cached_property
    def _engine(self) -> docker.DockerClient:
        # Stopping answers only when the container has ended.
        return docker.DockerClient(base_url=self._url, timeout=math.ceil(self._stop_s) + 60)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Errors of the engine, and of the way to it, as ours."""
        try:
            yield
        except ImageNotFound as error:
            raise DependencyError(
                f"the container engine has no image {self._options.image}: build or pull it, "
                "or name another in UNDERSTUDY_DEPLOY_IMAGE"
            ) from error
        except (DockerException, OSError) as error:
            raise DependencyError(f"container engine at {self._url}: {error}") from error


def _instance(container: Container) -> Instance:
    labels, running = container.labels, container.status == "running"
    return Instance(
        name=labels[NAME],
        version=labels[VERSION],
        digest=labels[DIGEST],
        url=f"http://{HOST}:{labels[PORT]}",
        pid=container.attrs["State"]["Pid"] if running else None,
        alive=running,
    )


def _serves(container: Container, version: str, digest: str) -> bool:
    wanted = (container.labels[VERSION], container.labels[DIGEST]) == (version, digest)
    return wanted and container.status == "running"


def _port_is_taken(error: APIError) -> bool:
    """Docker and Podman both answer 500 and say it in words."""
    said = str(error).lower()
    return "already in use" in said or "already allocated" in said
