"""The exported encoder: its graph against the formulas, its export against a reference, its folder against damage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import erf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from core.errors import InvalidInputError, InvalidSettingError, RefusedError
from tests.small_encoder import HEADS, HIDDEN, LAYERS, TOKENS, WORDS, small_onnx, write_weights
from vectordb.encoder import Vectors
from vectordb.exported import RECORD, folder_of
from vectordb.onnx_encoder import BATCH_TOKENS, OnnxEncoder, OnnxModel, batches
from vectordb.onnx_export import export_encoder, likeness

TEXTS = tuple(f"{a} {b}" for a in WORDS[:7] for b in WORDS[7:17])
DIGEST = "sha256:" + "1" * 64


class Reference:
    """Says what `model` says, `away` from it."""

    name, digest, dimension = "small", DIGEST, HIDDEN

    def __init__(self, model: OnnxModel, away: float = 0.0) -> None:
        self._model, self._away = model, away

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = self._model.encode(texts)
        moved = vectors + self._away * np.random.default_rng(1).normal(size=vectors.shape)
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("encoder") / "weights")


@pytest.fixture(scope="module")
def model(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return small_onnx(weights, tmp_path_factory.mktemp("graph"))


def by_hand(weights: Path, tokens: list[int]) -> Vectors:
    """BERT with mean pooling in plain numpy, one text at a time (Devlin et al. 2019)."""
    w = load_file(weights / "model.safetensors")

    def norm(x: Vectors, name: str) -> Vectors:
        level = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-12)
        return np.asarray(level * w[f"{name}.weight"] + w[f"{name}.bias"], np.float32)

    def dense(x: Vectors, name: str) -> Vectors:
        return np.asarray(x @ w[f"{name}.weight"].T + w[f"{name}.bias"], np.float32)

    e = "embeddings."
    x = w[f"{e}word_embeddings.weight"][tokens] + w[f"{e}position_embeddings.weight"][: len(tokens)]
    x = norm(x + w[f"{e}token_type_embeddings.weight"][0], f"{e}LayerNorm")
    for part in (f"encoder.layer.{layer}." for layer in range(LAYERS)):
        q, k, v = (
            dense(x, f"{part}attention.self.{name}").reshape(len(x), HEADS, -1).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        likely = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]))
        seen = (likely / likely.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(x), -1)
        x = norm(x + dense(seen, f"{part}attention.output.dense"), f"{part}attention.output.LayerNorm")
        wide = dense(x, f"{part}intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(erf)(wide / np.sqrt(2)))
        x = norm(x + dense(wide, f"{part}output.dense"), f"{part}output.LayerNorm")
    mean = x.mean(0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def test_the_graph_is_the_formula(weights: Path, model: OnnxModel) -> None:
    number = {word: row + 4 for row, word in enumerate(WORDS)}
    for text in ("comedy", "robot love war city night 7", "horror horror"):
        tokens = [2, *(number[word] for word in text.split()), 3]
        assert model.encode([text])[0] == pytest.approx(by_hand(weights, tokens), abs=2e-5)


def test_rows_are_unit_and_in_order_whatever_the_batch(model: OnnxModel) -> None:
    texts = [" ".join(WORDS[: n % 9 + 1]) for n in range(40)]
    together = model.encode(texts)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    for place in (0, 7, 39):
        assert together[place] == pytest.approx(model.encode([texts[place]])[0], abs=1e-5)
    assert model.encode([]).shape == (0, HIDDEN)


@given(st.lists(st.integers(2, 300), max_size=60))
def test_batches_hold_every_text_once_and_few_tokens(lengths: list[int]) -> None:
    found = list(batches(lengths))
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[place] for place in batch)
        assert len(batch) == 1 or len(batch) * longest <= BATCH_TOKENS
    assert [lengths[place] for batch in found for place in batch] == sorted(lengths)


def test_batches_at_the_same_time_say_the_same(weights: Path, tmp_path: Path) -> None:
    texts = [" ".join(WORDS[: n % 20 + 1]) for n in range(90)]
    assert np.array_equal(
        small_onnx(weights, tmp_path, threads=3).encode(texts), small_onnx(weights, tmp_path).encode(texts)
    )


def test_a_text_is_read_up_to_its_limit(model: OnnxModel) -> None:
    limit = TOKENS - 2
    whole, more = " ".join(["war"] * limit), " ".join(["war"] * limit + ["love"] * 9)
    assert np.array_equal(model.encode([whole]), model.encode([more]))


def test_an_export_encodes_like_the_reference_and_says_so(
    weights: Path, model: OnnxModel, tmp_path: Path
) -> None:
    folder = export_encoder(Reference(model), weights, tmp_path, TEXTS)
    assert folder == folder_of(tmp_path, DIGEST)
    encoder = OnnxEncoder(tmp_path, DIGEST)
    assert (encoder.name, encoder.digest, encoder.dimension) == ("small", DIGEST, HIDDEN)
    assert np.array_equal(encoder.encode(TEXTS), model.encode(TEXTS))
    record = json.loads((folder / RECORD).read_text())
    assert (record["texts"], record["overlap"], record["max_tokens"]) == (len(TEXTS), 1.0, TOKENS)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_an_export_that_differs_is_refused_and_gone(weights: Path, model: OnnxModel, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="differs from the reference"):
        export_encoder(Reference(model, away=0.05), weights, tmp_path, TEXTS)
    assert list(tmp_path.iterdir()) == []


def test_an_export_made_by_another_process_meanwhile_is_replaced(
    weights: Path, model: OnnxModel, tmp_path: Path
) -> None:
    class Slow(Reference):
        def encode(self, texts: Sequence[str]) -> Vectors:
            if not folder_of(tmp_path, DIGEST).exists():
                export_encoder(Reference(model), weights, tmp_path, TEXTS)
            return super().encode(texts)

    export_encoder(Slow(model), weights, tmp_path, TEXTS)
    assert OnnxEncoder(tmp_path, DIGEST).dimension == HIDDEN
    assert [path.name for path in tmp_path.iterdir()] == [folder_of(tmp_path, DIGEST).name]


def test_exports_at_the_same_time_all_end_well(weights: Path, model: OnnxModel, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(export_encoder, Reference(model), weights, tmp_path, TEXTS[:5]) for _ in range(8)]
    assert {job.result() for job in jobs} == {folder_of(tmp_path, DIGEST)}
    assert OnnxEncoder(tmp_path, DIGEST).dimension == HIDDEN


@pytest.mark.parametrize(("field", "value"), [("dimension", HIDDEN + 1), ("max_tokens", -1)])
def test_a_record_that_the_graph_contradicts_is_refused(
    field: str, value: int, weights: Path, model: OnnxModel, tmp_path: Path
) -> None:
    path = export_encoder(Reference(model), weights, tmp_path, TEXTS) / RECORD
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(InvalidSettingError, match=str(folder_of(tmp_path, DIGEST))):
        OnnxEncoder(tmp_path, DIGEST)


def test_damaged_weights_are_named_by_path(model: OnnxModel, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "weights")
    file = weights / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InvalidSettingError, match=f"damaged: {file}"):
        export_encoder(Reference(model), weights, tmp_path / "store", TEXTS)


def test_likeness_of_equal_and_of_other_vectors(model: OnnxModel) -> None:
    vectors = model.encode(TEXTS)
    assert likeness(vectors, vectors).overlap == 1
    assert likeness(vectors, vectors[::-1].copy()).overlap < 1
    assert not likeness(vectors * np.nan, vectors).lowest_cosine >= 0


def test_nothing_starts_without_its_files(weights: Path, model: OnnxModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match=str(folder_of(tmp_path, DIGEST) / RECORD)):
        OnnxEncoder(tmp_path, DIGEST)
    folder = export_encoder(Reference(model), weights, tmp_path, TEXTS)
    graph = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(graph[:-1] + b"!")
    with pytest.raises(InvalidSettingError, match=str(folder / "model.onnx")):
        OnnxEncoder(tmp_path, DIGEST)
    (folder / "model.onnx").unlink()
    with pytest.raises(InvalidSettingError, match=str(folder / "model.onnx")):
        OnnxEncoder(tmp_path, DIGEST)
    export_encoder(Reference(model), weights, tmp_path, TEXTS)  # a damaged one is replaced
    assert OnnxEncoder(tmp_path, DIGEST).dimension == HIDDEN
    (folder / RECORD).write_text("{}")
    with pytest.raises(InvalidSettingError, match=RECORD):
        OnnxEncoder(tmp_path, DIGEST)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"model_type": "roberta"}'),
        ("1_Pooling/config.json", '{"pooling_mode_cls_token": true}'),
        ("modules.json", "[]"),
        ("config.json", '{"model_type": "\udcff"}'),
    ],
)
def test_another_architecture_is_refused(file: str, content: str, model: OnnxModel, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "weights")
    (weights / file).write_text(content, errors="surrogateescape")
    with pytest.raises(InvalidInputError, match="cannot be exported"):
        export_encoder(Reference(model), weights, tmp_path / "store", TEXTS)
