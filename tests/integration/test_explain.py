"""`understudy explain`: why a viewer is shown what, and what became of a video that is not shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.small_model import RANKED_SMALL, publish_small
from understudy.commands.models import explain


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_small(tmp_path_factory.mktemp("store"), recipe=RANKED_SMALL).path


def said(bundle: Path, *asked: str) -> str:
    result = CliRunner().invoke(explain, ["--bundle", str(bundle), *asked], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_line_names_the_sources_and_the_largest_contributions(bundle: Path) -> None:
    lines = said(bundle, "--user", "u00", "--count", "3").splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert all("als" in line and ("+" in line or "-" in line) for line in lines)


def test_an_absent_video_is_told_which_step_dropped_it(bundle: Path) -> None:
    assert said(bundle, "--user", "u00", "--video", "m99").splitlines()[-1].startswith("m99: unknown")


def test_a_stranger_is_told_to_be_one(bundle: Path) -> None:
    assert said(bundle, "--user", "it's me").startswith('nothing is known of viewer "it\'s me"')


def test_as_json_every_contribution_is_there(bundle: Path) -> None:
    told = json.loads(said(bundle, "--user", "u00", "--count", "2", "--video", "m01", "--json"))
    assert len(told["items"]) == 2
    assert sum(told["items"][0]["parts"].values()) == pytest.approx(told["items"][0]["score"], abs=1e-4)
    assert told["fate"]
