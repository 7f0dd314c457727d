"""Release plans in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from core.errors import InvalidInputError
from deploy.evaluation import ReleasePlan


def read_plan(path: Path) -> ReleasePlan:
    """The release plan of a JSON file; its member `note` is for people and is passed over.

    Raises:
        InvalidInputError: no such file, no JSON object, or a parameter out of its range.
    """
    try:
        fields = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise InvalidInputError(f"plan file {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"plan file {path}: not a JSON object: {error}") from None
    fields.pop("note", None)
    return ReleasePlan.from_json(fields)
