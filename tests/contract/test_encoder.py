"""Every encoder keeps the same promise; the reference and its export are the real model, offline."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.small_model import HashEncoder
from vectordb.encoder import Encoder
from vectordb.onnx_encoder import OnnxEncoder
from vectordb.onnx_export import export_encoder, likeness
from vectordb.sentence_transformer import SentenceTransformerEncoder, weights_folder


@pytest.fixture(scope="module")
def reference() -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder.local()


@pytest.fixture(scope="module")
def exported(reference: SentenceTransformerEncoder, tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    store: Path = tmp_path_factory.mktemp("encoders")
    export_encoder(reference, weights_folder(), store)
    return OnnxEncoder(store, reference.digest)


@pytest.fixture(scope="module", params=["hash", "reference", "exported"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    made: Encoder = HashEncoder() if request.param == "hash" else request.getfixturevalue(request.param)
    return made


def test_it_names_itself(encoder: Encoder) -> None:
    assert encoder.name
    assert encoder.digest.startswith("sha256:")


@pytest.mark.parametrize("count", [0, 1, 70])
def test_one_unit_vector_a_text(encoder: Encoder, count: int) -> None:
    vectors = encoder.encode([f"text {n}" for n in range(count)])
    assert vectors.shape == (count, encoder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_order_and_company_do_not_matter(encoder: Encoder) -> None:
    texts = ["Toy Story (1995)", "Heat", "a much longer text " * 30, "ü☂", "untitled"]
    together = encoder.encode(texts)
    np.testing.assert_allclose(encoder.encode(texts[::-1])[::-1], together, atol=1e-5)
    np.testing.assert_allclose(encoder.encode([texts[1]])[0], together[1], atol=1e-5)


def test_odd_characters_are_encoded_alone_and_among_others(encoder: Encoder) -> None:
    texts = ["half a character \ud83d here", "a\0b", "\u202eright to left", "", "\n", "x" * 100_000]
    together = encoder.encode(texts)
    assert np.isfinite(together).all()
    for place, text in enumerate(texts):
        np.testing.assert_allclose(encoder.encode([text])[0], together[place], atol=1e-5)


def test_threads_may_share_it(encoder: Encoder) -> None:
    texts = [f"{'very ' * (n % 7)}long night {n}" for n in range(40)]
    alone = encoder.encode(texts)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(encoder.encode, [texts] * 8):
            np.testing.assert_allclose(vectors, alone, atol=1e-5)


def test_near_texts_have_near_vectors(encoder: Encoder) -> None:
    near, same, far = encoder.encode(["a comedy about toys", "a comedy about dolls", "war documentary"])
    assert near @ same > near @ far


def test_the_export_may_stand_in_for_the_reference(
    reference: SentenceTransformerEncoder, exported: OnnxEncoder
) -> None:
    """Under one digest, so that vectors of both may lie in one bundle; here on texts the export did not see."""
    assert (exported.name, exported.digest, exported.dimension) == (
        reference.name,
        reference.digest,
        reference.dimension,
    )
    texts = [f"The {what} of the {whom}" for what in ("return", "night", "last days", "secret life", "bride")
             for whom in ("wolf", "sea", "machine", "detective", "two brothers", "living dead")]  # fmt: skip
    found = likeness(exported.encode(texts), reference.encode(texts))
    assert found.lowest_cosine >= 0.9999
    assert found.overlap == 1
