"""What the inference service costs: against Chroma, beside a trivial route of the same server, and in memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from core.clock import DAY, SystemClock
from inference.recommender.arrays import F32
from inference.recommender.bundle import ModelBundle, load_bundle
from inference.recommender.context import Request
from inference.recommender.recommend import Recommender
from storage.connect import open_serving_store
from storage.serving_store import USER_REALTIME_PROFILE, Document
from tests.benchmarks.serving_bundle import DIMENSION, publish_large, publish_many_viewers, unit_vectors
from tests.benchmarks.serving_load import cost, wrk
from tests.benchmarks.serving_page import Row, at_least, at_most
from tests.benchmarks.test_recommendation import VIDEOS, WATCHED, world
from tests.serving import Stage, open_stage
from tests.support import children_of
from training.dataset import Dataset
from vectordb.collection import VideoCollection

VIEWERS: Final = 1000  # as many as the load asks for
GORSE_MS: Final = 2.6  # server CPU of Gorse 0.5.7 for a list from its cache, measured on its own
ASKED: Final = 200
QUERIES: Final = 10
# Against one query per watched video and against one batched query, times less: what it has to be, and the aim.
BOUNDS: Final = {"without ranker": ((80, 120), (20, 30)), "with ranker": ((25, 50), (5, 10))}
VERSIONS: Final = {"without ranker": "blend", "with ranker": "ranked"}
TRIVIAL: Final = "/livez?@"


def model_rows(folder: Path, seconds: int, rounds: int) -> list[Row]:
    """Every row about `/recommend` of the inference service itself."""
    dataset, vectors = world(), unit_vectors()
    looped_ms, batched_ms = chroma_ms(folder / "chroma", dataset, vectors)
    rows: list[Row] = []
    with open_stage(_made(folder / "home")) as stage:
        stage.platform.bundles.mkdir()
        documents = profiles(dataset)
        store = open_serving_store(stage.platform, SystemClock())
        store.put_many(USER_REALTIME_PROFILE, documents)
        store.close()
        for name, version in VERSIONS.items():
            publish_large(stage.platform.bundles, version, dataset, vectors, ranked=version == "ranked")
            found = service_costs(stage, version, documents, seconds, rounds)
            rows += _rows(name, found, looped_ms, batched_ms)
        publish_many_viewers(stage.platform.bundles, "many", dataset, vectors)
        rows += memory_rows(stage, folder)
    return rows


def profiles(dataset: Dataset) -> dict[str, Document]:
    """Live profiles of viewers who have watched 50 videos each, in the week before the bundle."""
    random = np.random.default_rng(3)
    counts = np.bincount(dataset.video, minlength=VIDEOS).astype(np.float64)
    drawn = {
        f"viewer-{number}": random.choice(VIDEOS, WATCHED, replace=False, p=counts / counts.sum()).tolist()
        for number in range(1, VIEWERS + 1)
    }
    return {
        viewer: {
            "watched": [[f"v{row}", dataset.newest_ms - DAY + at, None, None] for at, row in enumerate(rows)]
        }
        for viewer, rows in drawn.items()
    }


def chroma_ms(folder: Path, dataset: Dataset, vectors: F32) -> tuple[float, float]:
    """Milliseconds of processor for the neighbours of 50 videos, 20 each: one query a video, one batch."""
    random = np.random.default_rng(5)
    with VideoCollection.create(folder, DIMENSION) as collection:
        collection.add(dataset.videos.ids, vectors)
        query: Callable[..., Any] = collection._collection.query

        def ask(watched: F32, each: int) -> None:
            for first in range(0, len(watched), each):
                query(query_embeddings=watched[first : first + each], n_results=20, include=[])

        ask(vectors[:1], 1)  # opens the index
        looped, batched = [], []
        for _ in range(QUERIES):
            watched = vectors[random.choice(VIDEOS, WATCHED, replace=False)]
            looped.append(_cpu_ms(partial(ask, watched, 1)))
            batched.append(_cpu_ms(partial(ask, watched, WATCHED)))
    return float(np.median(looped)), float(np.median(batched))


def service_costs(
    stage: Stage, version: str, documents: dict[str, Document], seconds: int, rounds: int
) -> dict[str, float]:
    """Milliseconds of processor a request: `/recommend`, a trivial route, and the model alone; the best of each."""
    service = stage.inference(version, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    port, pid = int(service.url.rpartition(":")[2]), service.process.pid
    model = load_bundle(stage.platform.bundles / version)
    best: dict[str, float] = {}
    for _ in range(rounds):
        recommend = cost(stage.home, pid, port, seconds=seconds, connections=1)
        trivial = cost(stage.home, pid, port, seconds=seconds, connections=1, path=TRIVIAL)
        found = {
            "recommend": recommend.total_us / 1000,
            "trivial": trivial.total_us / 1000,
            "model": model_ms(model, documents),
        }
        best = {name: min(best.get(name, value), value) for name, value in found.items()}
    service.terminate()
    return best


def model_ms(model: ModelBundle, documents: dict[str, Document]) -> float:
    """The mean of one recommendation for the same viewers, in this process, one BLAS thread."""
    recommender = Recommender(model, diverse=True)
    recommender.recommend(Request("warm-up"), None, None, model.as_of_ms)
    viewers = list(documents.items())[:ASKED]
    with threadpool_limits(limits=1):
        taken = _cpu_ms(
            lambda: [
                recommender.recommend(Request(viewer, 20), document, None, model.as_of_ms)
                for viewer, document in viewers
            ]
        )
    return taken / len(viewers)


def memory_rows(stage: Stage, folder: Path) -> list[Row]:
    """Of a worker that has served; what it shares are the mapped files, once for all workers."""
    service = stage.inference("many")
    wrk(folder, int(service.url.rpartition(":")[2]), seconds=2, connections=4)
    (worker,) = children_of(service.process.pid)
    rollup = Path(f"/proc/{worker}/smaps_rollup").read_text()
    size = {name: int(kb) / 1000 for name, kb in re.findall(r"(\w+): +(\d+) kB", rollup)}
    service.terminate()
    said = f"of it {size['Private_Dirty']:.0f} MB its own, the rest mapped and shared"
    return [Row("memory of one worker, 1,000,000 viewers", at_most(size["Rss"], 900, 600, " MB"), said)]


def _rows(name: str, found: dict[str, float], looped_ms: float, batched_ms: float) -> list[Row]:
    ours = found["recommend"]
    said = f"{ours:.2f} ms with HTTP, model {found['model']:.2f}"
    rows = [
        Row(f"CPU of /recommend {name} against {how}", at_least(chroma / ours, *bounds, " times less"), f"{said}; Chroma {chroma:.1f} ms")
        for (how, chroma), bounds in zip(
            (("one Chroma query per watched video", looped_ms), ("one batched Chroma query", batched_ms)),
            BOUNDS[name],
            strict=True,
        )
    ]  # fmt: skip
    beyond = ours - found["trivial"] - found["model"]
    rows.append(
        Row(f"/recommend {name} beyond a trivial route and its model", at_most(beyond, 0.3, 0.1, " ms"),
            f"trivial {found['trivial']:.2f} ms, {said}")
    )  # fmt: skip
    rows.append(
        Row(
            f"CPU of /recommend {name} against Gorse's cache",
            at_most(ours / GORSE_MS, 1, 1 / 3, " times"),
            said,
        )
    )
    return rows


def _cpu_ms(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return 1000 * (process_time() - began)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
