"""What `understudy release status` says to people."""

from typing import Any

from understudy.commands.status import status_lines

MAIN = {"version": "v1", "bundle_digest": "sha256:aa", "url": "http://127.0.0.1:1"}
CANARY = {"version": "v2", "bundle_digest": "sha256:bb", "url": "http://127.0.0.1:2"}
NOBODY = {
    "main": None,
    "canary": None,
    "share": 0.0,
    "shadow": None,
    "epoch": 0,
    "testers": {},
    "release": None,
    "instances": [],
}
RELEASE = {
    "release_id": "v2-1",
    "state": "running",
    "stage": 2,
    "started_ms": 0,
    "closed_ms": None,
    "next_look_ms": 60_000,
    "sentences": ["The canary plays."],
}


def lines(**found: Any) -> list[str]:
    return status_lines({**NOBODY, **found})


def test_an_empty_platform() -> None:
    assert lines() == ["main      none", "canary    none", "epoch     0", "release   none yet"]


def test_an_open_release_with_everything_that_may_be_said() -> None:
    shadow = {"upstream": CANARY, "share": 0.05}
    instances = [
        {"name": "v1-main", "version": "v1", "url": "http://127.0.0.1:1", "alive": True},
        {"name": "v2-canary", "version": "v2", "url": "http://127.0.0.1:2", "alive": False},
    ]
    said = lines(
        main=MAIN,
        canary=CANARY,
        share=0.05,
        shadow=shadow,
        testers={"u1": "canary", "u2": "main"},
        epoch=7,
        release=RELEASE,
        instances=instances,
    )
    assert said == [
        "main      v1 at http://127.0.0.1:1, sha256:aa",
        "canary    v2 for 5% of the audience at http://127.0.0.1:2, sha256:bb",
        "shadow    v2 is asked a copy of 5% of the requests",
        "testers   u1 to canary, u2 to main",
        "epoch     7",
        "release   v2-1: running, started 1970-01-01T00:00:00.000Z, stage 2",
        "          Next step due at 1970-01-01T00:01:00.000Z.",
        "          The canary plays.",
        "instances v1-main of v1 runs at http://127.0.0.1:1",
        "          v2-canary of v2 is dead",
    ]


def test_a_closed_release_says_when() -> None:
    closed = {**RELEASE, "state": "rolled_back", "closed_ms": 1_000, "next_look_ms": None}
    assert (
        "rolled back, started 1970-01-01T00:00:00.000Z, closed 1970-01-01T00:00:01.000Z"
        in lines(release=closed)[3]
    )
