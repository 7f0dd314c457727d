"""What `understudy release status` says to people: who plays, the newest release, what runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.clock import format_ms

_WIDTH = 10


def status_lines(found: Mapping[str, Any]) -> list[str]:
    """The status (`ReleaseManager.status`) in lines: a name in front, and under it what belongs to it."""
    return [
        _named("main", _playing(found["main"])),
        _named("canary", _playing(found["canary"], found["share"])),
        *([_named("shadow", _copied(found["shadow"]))] if found["shadow"] else []),
        *([_named("testers", _testers(found["testers"]))] if found["testers"] else []),
        _named("epoch", str(found["epoch"])),
        *_release(found["release"]),
        *_instances(found["instances"]),
    ]


def _named(name: str, text: str) -> str:
    return f"{name:{_WIDTH}}{text}"


def _playing(upstream: Mapping[str, Any] | None, share: float | None = None) -> str:
    if upstream is None:
        return "none"
    part = "" if share is None else f" for {100 * share:g}% of the audience"
    return f"{upstream['version']}{part} at {upstream['url']}, {upstream['bundle_digest']}"


def _copied(shadow: Mapping[str, Any]) -> str:
    return f"{shadow['upstream']['version']} is asked a copy of {100 * shadow['share']:g}% of the requests"


def _testers(arms: Mapping[str, str]) -> str:
    return ", ".join(f"{user_id} to {arm}" for user_id, arm in arms.items())


def _release(row: Mapping[str, Any] | None) -> Iterator[str]:
    if row is None:
        yield _named("release", "none yet")
        return
    state = row["state"].replace("_", " ")
    since = f"closed {format_ms(row['closed_ms'])}" if row["closed_ms"] else f"stage {row['stage']}"
    yield _named("release", f"{row['release_id']}: {state}, started {format_ms(row['started_ms'])}, {since}")
    if row["closed_ms"] is None and row["next_look_ms"]:
        yield _named("", f"Next step due at {format_ms(row['next_look_ms'])}.")
    yield from (_named("", sentence) for sentence in row["sentences"])


def _instances(instances: list[Mapping[str, Any]]) -> Iterator[str]:
    for number, one in enumerate(instances):
        state = f"runs at {one['url']}" if one["alive"] else "is dead"
        yield _named("" if number else "instances", f"{one['name']} of {one['version']} {state}")
