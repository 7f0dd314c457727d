"""`make bench-embedding`: texts per second of processor time, reference against export, in one run.

On the titles of MovieLens-100k, which are fetched, and on longer texts made of them. The reference runs as training
runs it (half the cores as threads, which costs least); rounds alternate, and the best of each counts: other work
on the machine only slows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple

import pytest

from training.fetch import fetch_ml_100k
from training.readers import read_folder
from training.vectors import texts_of
from vectordb.encoder import Vectors
from vectordb.onnx_encoder import OnnxEncoder
from vectordb.onnx_export import Likeness, export_encoder, likeness
from vectordb.sentence_transformer import SentenceTransformerEncoder, weights_folder

ROUNDS = 3


class Cost(NamedTuple):
    processor_s: float
    clock_s: float


def measure(encode: Callable[[Sequence[str]], Vectors], texts: Sequence[str]) -> tuple[Cost, Vectors]:
    """What it costs this process, all threads together."""
    clock, processor = perf_counter(), process_time()
    vectors = encode(texts)
    return Cost(process_time() - processor, perf_counter() - clock), vectors


@pytest.mark.long
def test_the_export_takes_half_the_processor_time_and_says_the_same(tmp_path: Path) -> None:
    titles = texts_of(read_folder(fetch_ml_100k(tmp_path)).videos)
    longer = [f"{title}. {' '.join(titles[row : row + 8])}" for row, title in enumerate(titles[:200])]
    reference = SentenceTransformerEncoder.local()
    load, _ = measure(reference.encode, titles[:1])
    began = perf_counter()
    export_encoder(reference, weights_folder(), tmp_path)
    print(f"\nload torch {load.clock_s:.1f} s; export and check {perf_counter() - began:.1f} s")
    onnx = OnnxEncoder(tmp_path, reference.digest)
    for name, texts in (("titles", titles), ("longer texts", longer)):
        ratio, found = compare(name, texts, reference, onnx)
        print(f"{name}: ratio {ratio:.2f} (must 2, aim 3), {found}")
        assert ratio >= 2
        assert found.lowest_cosine >= 0.9999
        assert found.overlap >= 0.9995


def compare(
    name: str, texts: Sequence[str], reference: SentenceTransformerEncoder, onnx: OnnxEncoder
) -> tuple[float, Likeness]:
    """How many times the processor time the reference takes, and how alike the vectors are."""
    costs: dict[str, list[Cost]] = {"reference": [], "onnx": []}
    vectors: dict[str, Vectors] = {}
    for _ in range(ROUNDS):
        for which, encoder in (("reference", reference), ("onnx", onnx)):
            cost, vectors[which] = measure(encoder.encode, texts)
            costs[which].append(cost)
    best = {which: min(found) for which, found in costs.items()}
    for which, cost in best.items():
        rate = len(texts) / cost.processor_s
        print(f"{name}: {which}: {rate:.0f} texts per processor second, {cost.clock_s:.1f} s by the clock")
    found = likeness(vectors["onnx"], vectors["reference"], 20)
    return best["reference"].processor_s / best["onnx"].processor_s, found
