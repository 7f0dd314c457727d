"""What a container of a version is given, from settings; no engine needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import DependencyError, InvalidSettingError
from core.settings import PlatformSettings
from deploy.container_options import IMAGE_USER, container_options
from deploy.runtime_process import ProcessRuntime
from deploy.settings import DeploySettings
from deploy.wiring import build_runtime


def test_a_container_gets_what_the_inference_service_reads_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNDERSTUDY_INFERENCE_THREADS", "3")
    monkeypatch.setenv("UNDERSTUDY_CONTROL_TOKEN", "not for a container")
    monkeypatch.setenv("UNDERSTUDY_DATABASE_URL", "postgresql://secret@host/db")
    options = container_options(PlatformSettings(home=tmp_path, log_level="DEBUG"), DeploySettings())
    assert dict(options.environment) == {"UNDERSTUDY_INFERENCE_THREADS": "3", "UNDERSTUDY_LOG_LEVEL": "DEBUG"}


def test_the_folder_of_the_serving_store_is_mounted_only_where_it_is_embedded(tmp_path: Path) -> None:
    embedded = container_options(PlatformSettings(home=tmp_path), DeploySettings())
    assert dict(embedded.folders) == {"encoders": False, "serving": True}
    url = "mongodb://127.0.0.1:1/db"
    remote = container_options(PlatformSettings(home=tmp_path, mongodb_url=url), DeploySettings())
    assert dict(remote.folders) == {"encoders": False}
    assert remote.environment["UNDERSTUDY_MONGODB_URL"] == url


def test_a_container_never_runs_as_root_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    platform = PlatformSettings(home=tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert container_options(platform, DeploySettings()).user == IMAGE_USER
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1001)
    assert container_options(platform, DeploySettings()).user == "1000:1001"
    assert container_options(platform, DeploySettings(container_user="7:8")).user == "7:8"


def test_the_account_of_the_image_is_the_one_of_the_dockerfile() -> None:
    dockerfile = Path(__file__).parents[3] / "deploy/images/Dockerfile"
    assert f"--uid {IMAGE_USER.split(':')[0]} " in dockerfile.read_text()


def test_settings_choose_the_runtime(tmp_path: Path) -> None:
    platform = PlatformSettings(home=tmp_path)
    assert isinstance(build_runtime(platform, DeploySettings()), ProcessRuntime)
    url = f"unix://{tmp_path}/nobody.sock"
    containers = build_runtime(platform, DeploySettings(runtime="container", docker_url=url))
    with pytest.raises(DependencyError, match=r"container engine at unix://.*nobody\.sock"):
        containers.instances()


def test_a_runtime_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_DEPLOY_RUNTIME", "virtual machine")
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_DEPLOY_RUNTIME"):
        DeploySettings.load()
