"""MovieLens-100k for the demo, from a public Python package that carries it; never committed, always checked.

Its licence (README of ml-100k, GroupLens) allows use and forbids redistribution, so it is fetched at set-up.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from core.errors import DependencyError, InvalidInputError

PACKAGE: Final = "recbole==1.2.1"
_INSIDE: Final = "recbole/dataset_example/ml-100k"
FILES: Final = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}


def fetch_ml_100k(cache: Path) -> Path:
    """The folder with ml-100k.inter and ml-100k.item; downloaded once (2.1 MB), then read from `cache`.

    Raises:
        DependencyError: the package index did not answer.
        InvalidInputError: what came is not what it was when this was written.
    """
    folder = cache / "ml-100k"
    if all((folder / name).is_file() for name in FILES):
        check_files(folder)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as downloads:
        extract(_download(Path(downloads)), folder)
    return folder


def extract(wheel: Path, folder: Path) -> None:
    """Take the two files out of the wheel; nothing else of it is unpacked, and nothing of it is run.

    Raises:
        InvalidInputError: a file is missing or has another checksum.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = {name: archive.read(f"{_INSIDE}/{name}") for name in FILES}
    except (KeyError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"{wheel.name} does not carry {_INSIDE}: {error}") from None
    for name, data in content.items():
        _check(name, data)
    for name, data in content.items():
        (folder / name).write_bytes(data)


def check_files(folder: Path) -> None:
    """Compare both files with their checksums.

    Raises:
        InvalidInputError: one differs; it is named.
    """
    for name in FILES:
        _check(str(folder / name), (folder / name).read_bytes())


def _check(name: str, data: bytes) -> None:
    found, wanted = hashlib.sha256(data).hexdigest(), FILES[Path(name).name]
    if found != wanted:
        raise InvalidInputError(f"{name} has SHA-256 {found}, expected {wanted}: delete it and fetch again")


def _download(into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(into), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(into.glob("*.whl"))
    if done.returncode or not wheels:
        raise DependencyError(f"pip could not download {PACKAGE}: {done.stderr.strip()[-400:]}")
    return wheels[0]
