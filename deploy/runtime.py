"""Where versions run. Port of local processes and of containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Instance:
    """One inference service as the runtime knows it. `url` has no path; `alive` as of the call."""

    name: str
    version: str
    digest: str
    url: str
    pid: int | None
    alive: bool


class Runtime(Protocol):
    """Starts and stops inference services by name. Every call may be repeated after a crash.

    Several processes may hold a runtime over the same place: the same name is never started twice.
    """

    def start(self, version: str, digest: str, name: str) -> Instance:
        """The instance of this name, ready; started if it does not run, with the same URL as before if it can.

        Raises:
            DependencyError: it did not become ready in time; the message holds the end of its log.
        """
        ...

    def stop(self, name: str) -> None:
        """End the instance and forget it; nothing happens if there is none."""
        ...

    def instances(self) -> list[Instance]:
        """All that were started and not stopped, dead ones included."""
        ...
