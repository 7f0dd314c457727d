"""Identifiers that come from outside: what they may look like, checked in one place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final, TypeGuard

from core.errors import InvalidInputError

MAX_ID_LENGTH = 64
ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.:@~-]{0,63}"
ID_SCHEMA: Final = {"type": "string", "pattern": f"^{ID_PATTERN}$"}
_ID = re.compile(ID_PATTERN)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def is_id(value: object) -> TypeGuard[str]:
    """Whether `check_id` would take it."""
    return isinstance(value, str) and bool(_ID.fullmatch(value))


def check_id(kind: str, value: object) -> str:
    """The id unchanged, if it is 1 to 64 ASCII letters, digits or `_.:@~-` and begins with a letter or digit.

    Raises:
        InvalidInputError: anything else; `kind` ("user_id", "video_id", ...) is named.
    """
    if not is_id(value):
        shown = repr(value)[:80]
        raise InvalidInputError(
            f"{kind} {shown} is not 1 to {MAX_ID_LENGTH} ASCII letters, digits or _.:@~- beginning with a letter or digit"
        )
    return value


def check_version(value: str) -> str:
    """The bundle version unchanged, if it can be a folder's name on every system.

    Raises:
        InvalidInputError: anything else.
    """
    if not _VERSION.fullmatch(value):
        raise InvalidInputError(
            f"version {value[:80]!r} is not 1 to 63 letters, digits or _.- beginning with a letter or digit"
        )
    return value


def new_id() -> str:
    """A random id for a request, an event or a release: 32 hexadecimal digits."""
    return os.urandom(16).hex()


def new_ids() -> Iterator[str]:
    """The same one after the other, for one thread that needs thousands a second: the system is asked seldom."""
    while True:
        random = os.urandom(16 * 256).hex()
        yield from (random[at : at + 32] for at in range(0, len(random), 32))
