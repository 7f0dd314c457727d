"""The inference service as a process of its own, on a real bundle and the embedded serving store, and behind
the load balancer."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.clock import MINUTE, SystemClock
from storage.connect import open_serving_store
from storage.serving_store import TRENDING_REALTIME, USER_REALTIME_PROFILE, Document
from tests.serving import Running, Stage, http_get, open_stage
from tests.small_model import publish_small
from tests.support import children_of, wait_until
from understudy.client import Client


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("inference")) as stage:
        for version in ("v1", "v2"):
            publish_small(stage.platform.bundles, version)
        stage.inference("v1")
        yield stage


@pytest.fixture
def service(stage: Stage) -> Running:
    return stage.running[0]


def recommend(service: Running, target: str) -> dict[str, object]:
    answer = http_get(f"{service.url}/recommend/{target}", **{"x-understudy-request-id": "r1"})
    assert answer.status == 200, answer.data
    told: dict[str, object] = answer.json()
    return told


def ids(told: dict[str, object]) -> list[str]:
    return [item["video_id"] for item in told["items"]]  # type: ignore[attr-defined]


def put(stage: Stage, collection: str, documents: dict[str, Document]) -> None:
    store = open_serving_store(stage.platform, SystemClock())
    store.put_many(collection, documents)
    store.close()


class Kept:
    """One connection to a service, and what comes back on it."""

    def __init__(self, service: Running) -> None:
        host, port = service.url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.reader = self.socket.makefile("rb")

    def answer(self) -> tuple[int, bytes]:
        """Status and body of the next response."""
        status = int(self.reader.readline().split()[1])
        head = b"".join(iter(self.reader.readline, b"\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        return status, self.reader.read(length)


def test_requests_of_every_kind_take_turns_on_a_kept_connection(service: Running) -> None:
    kept = Kept(service)
    plain = b"GET /recommend/u00?count=3 HTTP/1.1\r\nHost: a\r\n\r\n"
    livez = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    wrong = plain.replace(b"count=3", b"genre=nonsense")
    lists = [200, 200, 200, 400, 200, 200, 200, 200, 200]
    for sent in (plain, livez, plain, wrong, plain, plain + plain, livez + plain):
        kept.socket.sendall(sent)
    statuses, bodies = zip(*(kept.answer() for _ in lists), strict=True)
    assert list(statuses) == lists
    assert [b'"items"' in body for body in bodies] == [
        True,
        False,
        True,
        False,
        True,
        True,
        True,
        False,
        True,
    ]


def test_each_kind_of_request_alone_on_a_kept_connection(service: Running) -> None:
    kept = Kept(service)
    plain = b"GET /recommend/u00?count=3 HTTP/1.1\r\nHost: a\r\nX-Understudy-Request-Id: r1\r\n\r\n"
    for sent, status, said in (
        (plain, 200, b'"request_id":"r1"'),
        (plain, 200, b'"request_id":"r1"'),
        (plain.replace(b": r1", b": -"), 400, b"request_id"),
        (plain.replace(b"count=3", b"genre=nonsense"), 400, b"is unknown"),
        (plain.replace(b"/u00", b"/u%3000"), 200, b'"user_id":"u000"'),
        (plain.replace(b"GET", b"POST"), 405, b"title"),
        (plain, 200, b'"user_id":"u00"'),
        (plain + plain, 200, b'"user_id":"u00"'),
    ):
        kept.socket.sendall(sent)
        found = kept.answer()
        assert found[0] == status, sent
        assert said in found[1]
    assert kept.answer()[0] == 200
    kept.socket.sendall(plain[:20])
    kept.socket.sendall(plain[20:])
    assert kept.answer()[0] == 200


def test_a_known_viewer_gets_videos_of_its_taste(service: Running) -> None:
    told = recommend(service, "u00?count=3")
    assert (told["request_id"], told["user_id"], told["version"], told["degraded"]) == (
        "r1",
        "u00",
        "v1",
        False,
    )
    assert len(set(ids(told))) == 3
    assert all(int(video[1:]) % 2 == 0 for video in ids(told))


def test_what_is_watched_now_is_not_recommended_again(stage: Stage, service: Running) -> None:
    first = ids(recommend(service, "u02?count=2"))
    watched = [[video, SystemClock().now_ms(), None, 1.0] for video in first]
    put(stage, USER_REALTIME_PROFILE, {"u02": {"watched": watched, "offsets": {}}})
    assert not set(first) & set(ids(recommend(service, "u02?count=20")))


def test_a_viewer_nobody_knows_gets_what_is_watched_right_now(stage: Stage, service: Running) -> None:
    # H29: and not the last viewer's list
    minute = SystemClock().now_ms() // MINUTE
    windows = {f"{minute:010d}:user_interactions:0": {"counts": {"m07": 1000}, "offset": 1}}
    put(stage, TRENDING_REALTIME, windows)
    wait_until(lambda: ids(recommend(service, "nobody?count=1")) == ["m07"], 10)


def test_parameters_hold(service: Running) -> None:
    told = recommend(service, "u00?count=5&genre=Horror&exclude=m01&exclude=m03&explain=1")
    assert all(int(video[1:]) % 2 == 1 for video in ids(told))
    assert not {"m01", "m03"} & set(ids(told))
    assert all("explanation" in item for item in told["items"])  # type: ignore[attr-defined]
    assert http_get(f"{service.url}/recommend/u00?genre=Nonsense").status == 400


def test_without_the_serving_store_the_answer_is_degraded(stage: Stage, service: Running) -> None:
    # F33, the inference service's part
    with sqlite3.connect(stage.home / "serving" / "serving.db") as connection:
        connection.execute("ALTER TABLE documents RENAME TO gone")
    try:
        told = recommend(service, "u00?count=3")
        assert (told["degraded"], len(ids(told))) == (True, 3)
        assert http_get(f"{service.url}/readyz").status == 200
    finally:
        with sqlite3.connect(stage.home / "serving" / "serving.db") as connection:
            connection.execute("ALTER TABLE gone RENAME TO documents")
    assert recommend(service, "u00?count=3")["degraded"] is False


def test_version_and_metrics(stage: Stage, service: Running) -> None:
    told = http_get(f"{service.url}/version").json()
    assert (told["service"], told["version"]) == ("inference", "v1")
    assert told["bundle_digest"].startswith("sha256:")
    assert "understudy_inference_seconds_count" in http_get(f"{service.url}/metrics").data.decode()


def test_a_serving_process_has_nothing_to_do_with_chroma(service: Running) -> None:
    # F20, F21: what is frozen, killed or back again is not asked by anybody who answers viewers
    assert recommend(service, "u00?count=3")["items"]
    (worker,) = children_of(service.process.pid)
    mapped = Path(f"/proc/{worker}/maps").read_text()
    assert "msgspec" in mapped
    assert "chromadb" not in mapped


def test_behind_the_load_balancer(stage: Stage, service: Running) -> None:
    canary = stage.inference("v2")
    stage.publish(service, canary, share=0.5)
    balancer = stage.balancer()
    client = Client(balancer.url)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: client.recommend(f"u{n % 24:02}", count=5), range(200)))
    client.close()
    assert {(answer.arm, answer.version) for answer in answers} == {("main", "v1"), ("canary", "v2")}
    assert {len(answer.items) for answer in answers} == {5}
    assert http_get(f"{balancer.url}/recommend/u00?genre=Nonsense").status == 400
    text = http_get(f"{balancer.url}/recommend/u00?count=3", accept="text/plain")
    assert len(text.data.decode().split(",")) == 3
    balancer.terminate()
    assert {(e.arm_assigned == e.arm_served, e.outcome) for e in stage.exposures()} == {(True, "ok")}


@pytest.mark.parametrize("damage", ["truncated", "missing", "extra", "unknown version"])
def test_a_bundle_that_is_not_whole_is_refused_by_name(stage: Stage, damage: str) -> None:
    # F16, a short form: the bundle store's own tests try every file
    bundle = stage.platform.bundles / "v1"
    broken = stage.platform.bundles / f"broken-{damage[:5]}"
    version = "v7" if damage == "unknown version" else broken.name
    if damage != "unknown version":
        shutil.copytree(bundle, broken)
        file = broken / "embeddings.npy"
        if damage == "truncated":
            file.write_bytes(file.read_bytes()[:-8])
        elif damage == "missing":
            file.unlink()
        else:
            (broken / "more.npy").write_bytes(b"x")
    refused = stage.inference(version, ready=False)
    assert refused.process.wait(30) != 0
    named = {"extra": "more.npy", "unknown version": "v7"}.get(damage, "embeddings.npy")
    assert named in refused.log.read_text()


def test_a_bundle_replaced_under_a_live_process_changes_nothing(stage: Stage, tmp_path: Path) -> None:
    # F18
    publish_small(stage.platform.bundles, "v3")
    service = stage.inference("v3")
    before = recommend(service, "u04?count=10")
    (stage.platform.bundles / "v3").rename(tmp_path / "elsewhere")
    shutil.copytree(stage.platform.bundles / "v2", stage.platform.bundles / "v3")
    assert recommend(service, "u04?count=10") == before
    assert service.terminate() == 0
