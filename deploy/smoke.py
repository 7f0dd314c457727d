"""Smoke requests: what a new instance must answer before it gets a single viewer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from deploy.runtime import Instance

COUNT = 10
# Viewers that no bundle knows: everybody must be able to be served, newcomers first of all.
VIEWERS = tuple(f"smoke-{number}" for number in range(1, 6))


class SmokeError(Exception):
    """What was wrong with an answer, in words."""


def smoke(instance: Instance, viewers: Sequence[str] = VIEWERS, timeout_s: float = 10) -> int:
    """The number of requests answered well.

    Raises:
        SmokeError: the first that was not, or another version than this answered.
    """
    about = _get(instance.url, "/version", timeout_s)
    served = (about.get("version"), about.get("bundle_digest"))
    if served != (instance.version, instance.digest):
        raise SmokeError(
            f"{instance.url} serves {served[0]} ({served[1]}), not {instance.version} ({instance.digest})"
        )
    for viewer in viewers:
        path = f"/recommend/{quote(viewer)}?count={COUNT}"
        _check_list(path, _get(instance.url, path, timeout_s))
    return len(viewers)


def _check_list(path: str, answer: dict[str, Any]) -> None:
    items = answer.get("items")
    if not isinstance(items, list) or not items:
        raise SmokeError(f"{path} was answered without any video")
    videos = [item.get("video_id") for item in items if isinstance(item, dict)]
    if len(videos) != len(items) or not all(isinstance(video, str) and video for video in videos):
        raise SmokeError(f"{path} was answered with something that is not a video")
    if len(set(videos)) != len(videos) or len(videos) > COUNT:
        raise SmokeError(f"{path} was answered with {len(videos)} videos, {len(set(videos))} different ones")


def _get(url: str, path: str, timeout_s: float) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise SmokeError(f"{path} was not answered: {error}") from None
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise SmokeError(f"{path} was answered with status {response.status}")
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise SmokeError(f"{path} was not answered with JSON: {error}") from None
    if not isinstance(answer, dict):
        raise SmokeError(f"{path} was not answered with a JSON object")
    return answer
