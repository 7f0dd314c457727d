"""Runs a coroutine at once, up to its first wait, and goes on with it from there: what a task does a turn of the
loop later, at the price of a turn of the loop. Python 3.12 has eager tasks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def run_eagerly(coroutine: Coroutine[Any, Any, None]) -> None:
    """Begin. What it raises comes from here until it has waited once, and is the loop's to report afterwards.

    There is no current task in it: what needs one (asyncio.timeout) has to be awaited as a task of its own.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return
    except asyncio.CancelledError:  # what it waited for was, at the end of the process
        return
    waits_for._asyncio_future_blocking = False  # as asyncio.Task says that it has taken note
    waits_for.add_done_callback(lambda _: run_eagerly(coroutine))
