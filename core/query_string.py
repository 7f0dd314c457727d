"""Query strings, read strictly: every parameter known, given once, decodable; what several routes take alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from core.errors import InvalidInputError
from core.ids import ID_SCHEMA, check_id

MAX_COUNT: Final = 100
DEFAULT_COUNT: Final = 20
MAX_EXCLUDED: Final = 100
EXCLUDE: Final = "exclude"
PRINTABLE: Final = r"[^\x00-\x1f\x7f-\x9f]"
_COUNT = re.compile(r"[1-9][0-9]{0,2}")
_GENRE_PATTERN: Final = f"{PRINTABLE}{{1,64}}"
_GENRE = re.compile(_GENRE_PATTERN)

Json = dict[str, Any]

# What is checked here, as JSON schemas: the names that are known are taken from them.
OF_EVERY_LIST: Final[Mapping[str, Json]] = {
    "count": {"type": "integer", "minimum": 1, "maximum": MAX_COUNT, "default": DEFAULT_COUNT},
    EXCLUDE: {"type": "array", "items": ID_SCHEMA, "maxItems": MAX_EXCLUDED},
    "genre": {"type": "string", "pattern": f"^{_GENRE_PATTERN}$"},
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """`single` as they were given, decoded; `exclude` checked."""

    single: Mapping[str, str]
    exclude: tuple[str, ...]

    @property
    def count(self) -> int:
        """Length of the list.

        Raises:
            InvalidInputError: not 1 to 100.
        """
        text = self.single.get("count")
        if text is None:
            return DEFAULT_COUNT
        if not _COUNT.fullmatch(text) or int(text) > MAX_COUNT:
            raise InvalidInputError(f"count {text[:20]!r} is not a whole number from 1 to {MAX_COUNT}")
        return int(text)

    @property
    def genre(self) -> str | None:
        """The genre asked for, if any.

        Raises:
            InvalidInputError: no text that a genre can be.
        """
        text = self.single.get("genre")
        if text is not None and not _GENRE.fullmatch(text):
            raise InvalidInputError(f"genre {text[:20]!r} is not 1 to 64 printable characters")
        return text


@lru_cache(1024)  # an application asks for the same again and again, only for other viewers
def read_parameters(query_string: str, names: tuple[str, ...]) -> Parameters:
    """Decode a query string in which each of the names may be given once, and `exclude` up to 100 times.

    Raises:
        InvalidInputError: names the parameter: unknown or repeated; or the string cannot be read.
    """
    known = [name for name in names if name != EXCLUDE]
    single: dict[str, str] = {}
    exclude: list[str] = []
    for name, value in _pairs(query_string, MAX_EXCLUDED + len(known)) if query_string else ():
        if name == EXCLUDE:
            exclude.append(check_id(EXCLUDE, value))
        elif name not in known:
            raise InvalidInputError(f"unknown parameter {name[:40]!r}; known: {EXCLUDE}, {', '.join(known)}")
        elif name in single:
            raise InvalidInputError(f"parameter {name!r} is given twice")
        else:
            single[name] = value
    if len(exclude) > MAX_EXCLUDED:
        raise InvalidInputError(f"{len(exclude)} videos excluded; at most {MAX_EXCLUDED} are taken")
    return Parameters(single, tuple(exclude))


def _pairs(query_string: str, most: int) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query_string, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=most
        )
    except ValueError as error:  # a field without "=", bad UTF-8, too many fields
        raise InvalidInputError(f"query string cannot be read: {str(error)[:80]}") from None
