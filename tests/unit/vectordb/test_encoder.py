"""What an encoder reads, and what happens where its weights are missing. Nothing here loads torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InvalidSettingError
from tests.small_encoder import write_weights
from vectordb.encoder import video_text
from vectordb.sentence_transformer import (
    SentenceTransformerEncoder,
    check_weights,
    weights_digest,
    weights_folder,
)


def test_the_text_has_title_year_genres_and_overview() -> None:
    text = video_text("Toy Story", 1995, ["Animation", "Comedy"], "Toys come alive.")
    assert text == "Toy Story (1995). Genres: Animation, Comedy. Toys come alive."


@pytest.mark.parametrize(
    ("title", "year", "genres", "overview", "text"),
    [
        ("Heat", None, [], "", "Heat"),
        ("1984", 1984, [], "", "1984"),
        ("", None, ["War"], "", "Genres: War"),
        ("", None, [], " ", "untitled"),
    ],
)
def test_what_is_missing_leaves_no_trace(
    title: str, year: int | None, genres: list[str], overview: str, text: str
) -> None:
    assert video_text(title, year, genres, overview) == text


def test_missing_weights_are_named_by_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match=str(tmp_path / "config.json")):
        SentenceTransformerEncoder(tmp_path)


def test_one_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("config.json", "modules.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidSettingError, match=str(tmp_path / "model.safetensors")):
        check_weights(tmp_path)


@pytest.mark.parametrize("content", [b"{}", b"{", b'{"a": "\xff"}'])
def test_weights_that_say_no_dimension_are_named_by_path(content: bytes, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "weights") / "1_Pooling/config.json"
    path.write_bytes(content)
    with pytest.raises(InvalidSettingError, match=f"damaged: {path}"):
        SentenceTransformerEncoder(tmp_path / "weights")


def test_the_digest_changes_with_any_decisive_file(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    names = [
        "config.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "1_Pooling/config.json",
    ]
    for name in names:
        (tmp_path / name).write_text("{}")
    seen = {weights_digest(tmp_path)}
    for name in names:
        (tmp_path / name).write_text("{ }")
        seen.add(weights_digest(tmp_path))
    assert len(seen) == len(names) + 1


def test_the_installed_weights_are_found_without_loading_them() -> None:
    encoder = SentenceTransformerEncoder.local()
    assert encoder.dimension == 384
    assert encoder.digest == weights_digest(weights_folder())
