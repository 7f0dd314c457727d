"""Liveness and readiness as values: a process is ready when each of its checks says so, and says why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

Check = Callable[[], str | None]

ALIVE: Final[Mapping[str, bool]] = {"alive": True}
"""What `GET /livez` of every process answers."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """`problems` maps a check's name to what is wrong; empty means ready."""

    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, object]:
        return {"ready": self.ready, "problems": dict(self.problems)}


def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Run every check; one returns None when all is well, else a sentence for the operator."""
    found = {name: check() for name, check in checks.items()}
    return Readiness({name: problem for name, problem in found.items() if problem is not None})
