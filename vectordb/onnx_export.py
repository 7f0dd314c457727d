"""Export an encoder for ONNX Runtime, once per weights, and only if it says what the reference says."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from core.errors import InvalidInputError, InvalidSettingError, RefusedError
from vectordb.check_texts import CHECK_TEXTS
from vectordb.encoder import Encoder, Vectors
from vectordb.exported import FORMAT_VERSION, GRAPH, RECORD, TOKENIZER, Export, folder_of, sha256_of
from vectordb.neighbours import neighbour_table
from vectordb.onnx_encoder import OnnxModel
from vectordb.onnx_graph import read_config, sentence_graph

LEAST_COSINE: Final = 0.9999
LEAST_OVERLAP: Final = 1.0
NEIGHBOURS: Final = 10


@dataclass(frozen=True, slots=True)
class Likeness:
    """How two encoders agree on the same texts: worst cosine, and share of nearest neighbours in common."""

    lowest_cosine: float
    overlap: float


def likeness(ours: Vectors, reference: Vectors, neighbours: int = NEIGHBOURS) -> Likeness:
    """Compare unit vectors of the same texts."""
    cosines = np.einsum("ij,ij->i", ours, reference, dtype=np.float64)
    near, wanted = (neighbour_table(vectors, neighbours)[0] for vectors in (ours, reference))
    common = sum(len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in zip(near, wanted, strict=True))
    return Likeness(float(cosines.min()), common / max(1, int((wanted >= 0).sum())))


def export_encoder(
    reference: Encoder, weights: Path, store: Path, texts: Sequence[str] = CHECK_TEXTS
) -> Path:
    """Write the export of the weights in a folder into `store`, checked against `reference` on `texts`.

    A damaged or older export of the same weights is replaced.

    Raises:
        InvalidInputError: no graph is known for such weights.
        InvalidSettingError: the file of the weights is damaged; its path is named.
        RefusedError: the export encodes otherwise than the reference; nothing is left behind.
    """
    store.mkdir(parents=True, exist_ok=True)
    target = folder_of(store, reference.digest)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=store) as made:
        staging = Path(made) / target.name
        staging.mkdir()
        max_tokens = _write_model(weights, staging)
        model = OnnxModel(staging, dimension=reference.dimension, max_tokens=max_tokens)
        # One at a time: a batch of the reference's would pad every short text to the longest.
        wanted = np.concatenate([reference.encode([text]) for text in texts])
        found = likeness(model.encode(texts), wanted)
        _check(found)
        _write_record(staging, reference, max_tokens, len(texts), found)
        _publish(staging, target)
    return target


def _publish(staging: Path, target: Path) -> None:
    """Rename into place; what was there goes into the temporary folder."""
    with contextlib.suppress(FileNotFoundError):
        target.rename(staging.with_name("replaced"))
    try:
        staging.rename(target)
    except OSError as error:
        # Another process has published the same weights this moment: whose export it is makes no difference.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _write_model(weights: Path, folder: Path) -> int:
    from safetensors import SafetensorError  # noqa: PLC0415 needed at the export alone
    from safetensors.numpy import load_file  # noqa: PLC0415

    config, max_tokens = read_config(weights)
    file = weights / "model.safetensors"
    try:
        graph = sentence_graph(config, load_file(file), max_tokens)
    except SafetensorError as error:
        raise InvalidSettingError(f"the encoder's weights are damaged: {file}: {error}") from None
    except KeyError as error:
        raise InvalidInputError(f"{file}: cannot be exported: there is no tensor {error}") from None
    (folder / GRAPH).write_bytes(graph)
    shutil.copyfile(weights / "tokenizer.json", folder / TOKENIZER)
    return max_tokens


def _check(found: Likeness) -> None:
    # Not `<`: a NaN must not pass.
    if not (found.lowest_cosine >= LEAST_COSINE and found.overlap >= LEAST_OVERLAP):
        raise RefusedError(
            f"the exported encoder differs from the reference: lowest cosine {found.lowest_cosine:.6f} "
            f"(needed {LEAST_COSINE}), neighbour overlap {found.overlap:.3f} (needed {LEAST_OVERLAP:.3f})"
        )


def _write_record(folder: Path, reference: Encoder, max_tokens: int, texts: int, found: Likeness) -> None:
    record = Export(
        format_version=FORMAT_VERSION,
        name=reference.name,
        digest=reference.digest,
        dimension=reference.dimension,
        max_tokens=max_tokens,
        texts=texts,
        lowest_cosine=found.lowest_cosine,
        overlap=found.overlap,
        files={name: sha256_of(folder / name) for name in (GRAPH, TOKENIZER)},
    )
    (folder / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
