"""Simulated releases kept in a folder, so that measuring the figures can be stopped and go on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from deploy.evaluation.simulation import Releases

_READERS = {"figures.py", "simulate.py", "comparison.py", "kept.py"}  # they change no simulated release


class Kept:
    """What was simulated by this very code, a file for each study; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._code = code_digest() if folder else ""

    def get(self, study: object, run: Callable[[], Releases]) -> Releases:
        """The releases of a study, whose `repr` says all about it; `run` where they are not there yet."""
        if self._folder is None:
            return run()
        name = hashlib.sha256(f"{self._code} {study!r}".encode()).hexdigest()
        path = self._folder / f"{name[:24]}.npz"
        if not path.exists():
            _write(path, run())
        return _read(path)


def code_digest() -> str:
    """Of the modules that simulated releases depend on."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name not in _READERS:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _write(path: Path, releases: Releases) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        name: np.asarray(value) for name, value in asdict(releases).items() if value is not None
    }
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, **arrays)
    part.replace(path)


def _read(path: Path) -> Releases:
    with np.load(path) as arrays:
        found: dict[str, Any] = dict(arrays)
    found["decision"], found["fired"] = found["decision"].tolist(), found["fired"].tolist()
    return Releases(**found)
