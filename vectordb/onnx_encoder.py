"""The second encoder: the same weights on ONNX Runtime, without torch, several times as fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.errors import InvalidSettingError
from vectordb.encoder import Vectors, whole_characters
from vectordb.exported import GRAPH, TOKENIZER, open_export

# Texts of like length waste no padding. With 64 tokens a matrix product is near the processor's limit already;
# with 1,024 the activations leave its caches, and longer texts cost a tenth more (measured).
BATCH_TOKENS: Final = 256


class OnnxModel:
    """A graph and its tokenizer, loaded. Thread-safe.

    `threads` batches of one call run at the same time, each on one thread: nobody waits for another's part of a
    matrix product, so that two threads cost no more processor time than one.
    """

    def __init__(self, folder: Path, *, dimension: int, max_tokens: int, threads: int = 1) -> None:
        """Load the graph of an export.

        Raises:
            InvalidSettingError: it makes vectors of another dimension; its path is named.
        """
        import onnxruntime  # noqa: PLC0415 most processes never encode
        from tokenizers import Tokenizer  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(folder / GRAPH), options, providers=["CPUExecutionProvider"]
        )
        made = self._session.get_outputs()[0].shape[1]
        if made != dimension:
            raise InvalidSettingError(f"{folder / GRAPH} makes vectors of {made} numbers, not {dimension}")
        self._tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()
        self._dimension = dimension
        self._threads = threads

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit rows in the order of the texts."""
        # One by one: a batch would start a pool of threads for what is 1% of the work.
        tokens = [self._tokenizer.encode(whole_characters(text)).ids for text in texts]
        vectors = np.empty((len(tokens), self._dimension), np.float32)

        def fill(places: Sequence[int]) -> None:
            vectors[places] = self._run([tokens[place] for place in places])

        parts = list(batches([len(found) for found in tokens]))
        if min(self._threads, len(parts)) < 2:
            for places in parts:
                fill(places)
            return vectors
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(fill, parts))  # asked for, so that an error is raised here
        return vectors

    def _run(self, batch: Sequence[Sequence[int]]) -> Vectors:
        ids = np.zeros((len(batch), max(map(len, batch))), np.int32)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        (vectors,) = self._session.run(None, {"ids": ids, "mask": mask})
        return np.asarray(vectors, np.float32)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of texts to run together, by their tokens: short texts first, `BATCH_TOKENS` with padding at most."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[place] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


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
