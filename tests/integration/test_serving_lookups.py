"""Search, similar and trending over real processes: a small exported encoder, two versions, a load balancer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.serving import Running, Stage, http_get, open_stage
from tests.small_encoder import HIDDEN, small_onnx, write_weights
from tests.small_model import publish_small, videos
from tests.support import children_of
from vectordb.encoder import Vectors
from vectordb.exported import folder_of
from vectordb.onnx_encoder import OnnxModel
from vectordb.onnx_export import export_encoder


class SmallEncoder:
    """The reference of the small encoder: its own graph, asked directly."""

    name, digest, dimension = "small", "sha256:" + "7" * 64, HIDDEN

    def __init__(self, model: OnnxModel) -> None:
        self._model = model

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self._model.encode(texts)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallEncoder, Path]:
    folder = tmp_path_factory.mktemp("small")
    weights = write_weights(folder / "weights")
    return SmallEncoder(small_onnx(weights, folder)), weights


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, encoder: tuple[SmallEncoder, Path]) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("lookups")) as stage:
        for version in ("v1", "v2"):
            publish_small(stage.platform.bundles, version, encoder=encoder[0])
        stage.publish(stage.inference("v1"), stage.inference("v2"))
        stage.balancer()
        yield stage


def told(running: Running, target: str, status: int = 200) -> dict[str, object]:
    answer = http_get(f"{running.url}{target}")
    assert answer.status == status, answer.data
    assert answer.headers["content-type"] == f"application/{'json' if status == 200 else 'problem+json'}"
    document: dict[str, object] = answer.json()
    return document


def ids(document: dict[str, object]) -> list[str]:
    return [item["video_id"] for item in document["items"]]  # type: ignore[attr-defined]


def test_a_search_needs_its_encoder_and_nothing_else_does(
    stage: Stage, encoder: tuple[SmallEncoder, Path]
) -> None:
    service, canary, balancer = stage.running
    for running in (service, balancer):
        assert http_get(f"{running.url}/search?q=horror").headers["retry-after"] == "1"
        assert "encoder is missing" in str(told(running, "/search?q=horror", 503)["detail"])
    assert all(http_get(f"{running.url}/readyz").status == 200 for running in stage.running)
    assert told(balancer, "/recommend/u00?count=3")["arm"] in {"main", "canary"}

    export_encoder(
        encoder[0], encoder[1], stage.platform.encoders, ["horror", "comedy", "night", "war", "love"]
    )
    search = f"/search?q={quote(videos().titles[7])}&count=3"
    found = told(balancer, search)
    assert (found["arm"], found["version"], found["degraded"]) == ("main", "v1", False)
    assert ids(found)[0] == "m07"
    assert {key: value for key, value in found.items() if key != "arm"} == told(service, search)
    assert all(int(video[1:]) % 2 == 0 for video in ids(told(canary, "/search?q=night&genre=comedy")))
    assert folder_of(stage.platform.encoders, encoder[0].digest).is_dir()


def test_a_process_that_is_ready_has_its_encoder_open(stage: Stage) -> None:
    # The test above has exported it: a search of 600 ms, the load balancer's patience, opens none.
    started = stage.inference("v2")
    (worker,) = children_of(started.process.pid)
    assert "onnxruntime" in Path(f"/proc/{worker}/maps").read_text()
    assert ids(told(started, "/search?q=horror&count=1"))
    stage.running.remove(started)
    assert started.terminate() == 0


def test_similar_videos(stage: Stage) -> None:
    balancer = stage.running[2]
    found = ids(told(balancer, "/videos/m04/similar?count=4&exclude=m06"))
    assert len(found) == 4
    assert not {"m04", "m06"} & set(found)
    assert len(ids(told(balancer, "/videos/m04/similar?count=100"))) == 29
    assert "m99" in str(told(balancer, "/videos/m99/similar", 404)["detail"])
    assert "genre" in str(told(balancer, "/videos/m04/similar?genre=nonsense", 400)["detail"])


def test_trending_and_who_answers_when_main_is_gone(stage: Stage) -> None:
    service, canary, balancer = stage.running
    assert told(balancer, "/trending?count=5")["arm"] == "main"
    service.terminate()
    assert told(balancer, "/trending?count=5")["arm"] == "canary"
    assert told(balancer, "/videos/m04/similar")["arm"] == "canary"
    canary.terminate()
    assert told(balancer, "/trending", 503)["detail"] == "no arm answers"
    metrics = http_get(f"{balancer.url}/metrics").data.decode()
    assert 'understudy_lookups_total{arm_served="canary",lookup="trending"} 1.0' in metrics
