"""What the demo remembers of a home: which data set it holds, and how far its times were moved."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.errors import RefusedError


class DataInHome(msgspec.Struct, frozen=True):
    """One home, one data set: `data_digest` names it, `shift_ms` was added to all of its times."""

    data_digest: str
    shift_ms: int


def remember_data(home: Path, data_digest: str, shift_ms: int) -> DataInHome:
    """What this home holds; noted down at the first run.

    A later run keeps the first one's shift, so that a load that was interrupted goes on with the same times.

    Raises:
        RefusedError: the home holds another data set.
    """
    path = home / "run" / "demo.json"
    if path.is_file():
        known = msgspec.json.decode(path.read_bytes(), type=DataInHome)
        if known.data_digest != data_digest:
            raise RefusedError(
                f"{home} holds another data set ({known.data_digest[:19]}, asked for {data_digest[:19]}): "
                "set UNDERSTUDY_HOME to another folder, or remove this one"
            )
        return known
    path.parent.mkdir(parents=True, exist_ok=True)
    noted = DataInHome(data_digest, shift_ms)
    path.write_bytes(msgspec.json.encode(noted))
    return noted
