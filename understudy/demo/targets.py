"""Tells Prometheus where the demo's processes are: a file of targets beside their logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from understudy.demo.steps import Stage


def write_targets(stage: Stage) -> None:
    """Write run/targets.json in the form of Prometheus's file-based discovery."""
    ports, status = stage.ports, stage.manager.status()
    fixed = {"load_balancer": ports.balancer, "control": ports.control, "reader": ports.reader}
    targets = [_target(ports.url(port), service=name) for name, port in fixed.items()]
    arms = {status[arm]["url"]: arm for arm in ("main", "canary") if status[arm]}
    targets += [
        _target(i["url"], service="inference", version=i["version"], arm=arms.get(i["url"], ""))
        for i in status["instances"]
    ]
    path = stage.platform.home / "run" / "targets.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(targets), indent=2))
    beside.replace(path)


def _target(url: str, **labels: str) -> dict[str, object]:
    return {"targets": [url.removeprefix("http://")], "labels": labels}
