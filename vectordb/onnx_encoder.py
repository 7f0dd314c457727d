"""The second encoder: the same weights on ONNX Runtime, without torch, several times as fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from vectordb.encoder import Vectors
from vectordb.exported import GRAPH, TOKENIZER, open_export

# Small batches of texts of like length waste no padding, and stay in the processor's caches.
BATCH: Final = 16


class OnnxModel:
    """A graph and its tokenizer, loaded. Thread-safe."""

    def __init__(self, folder: Path, *, dimension: int, max_tokens: int, threads: int = 1) -> None:
        import onnxruntime  # noqa: PLC0415 most processes never encode
        from tokenizers import Tokenizer  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(folder / GRAPH), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()
        self._dimension = dimension

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit rows in the order of the texts."""
        # One by one: a batch would start a pool of threads for what is 1% of the work.
        tokens = [self._tokenizer.encode(text).ids for text in texts]
        order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
        vectors = np.empty((len(tokens), self._dimension), np.float32)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            vectors[places] = self._run([tokens[place] for place in places])
        return vectors

    def _run(self, batch: Sequence[Sequence[int]]) -> Vectors:
        ids = np.zeros((len(batch), max(map(len, batch))), np.int32)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        (vectors,) = self._session.run(None, {"ids": ids, "mask": mask})
        return np.asarray(vectors, np.float32)


class OnnxEncoder:
    """An exported encoder. Its digest is that of the weights, so its vectors mix with the reference's."""

    def __init__(self, store: Path, digest: str, *, threads: int = 1) -> None:
        """Open the export of the weights with this digest in `store`; nothing is ever fetched.

        Raises:
            InvalidSettingError: there is none or it is damaged; the path is named.
        """
        folder, record = open_export(store, digest)
        self.name = record.name
        self.digest = record.digest
        self.dimension = record.dimension
        self._model = OnnxModel(
            folder, dimension=record.dimension, max_tokens=record.max_tokens, threads=threads
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self._model.encode(texts)
