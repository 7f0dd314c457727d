"""What is looked at again and again beside the requests."""

from __future__ import annotations

import threading

import pytest

from core.errors import DependencyError
from core.repeated import Repeated


def test_it_looks_at_once_and_ends() -> None:
    looks: list[int] = []
    repeated = Repeated("clouds", lambda: looks.append(1), every_s=3600)
    repeated.start(wait_s=30)
    repeated.stop()
    assert looks == [1]


@pytest.mark.parametrize("error", [DependencyError("away"), ValueError("a bug")])
def test_a_look_that_fails_is_told_and_not_the_last(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    looked, looks = threading.Event(), iter((False, True))

    def look() -> None:
        if next(looks, True):
            looked.set()
        raise error

    repeated = Repeated("clouds", look, every_s=0.001)
    repeated.start()
    assert looked.wait(30)
    repeated.stop()
    assert "clouds: not refreshed" in caplog.text
