"""Which jobs of .gitlab-ci.yml run for a push, a schedule and each release tag; and the schedule that they make."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import schedule_evaluation

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
RESERVED = {"stages", "workflow", "variables", "default", "include"}
JOBS = {name: job for name, job in PIPELINE.items() if name not in RESERVED and not name.startswith(".")}

PUSH = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"}
SCHEDULE = {"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_BRANCH": "main"}
REQUEST = {"CI_PIPELINE_SOURCE": "merge_request_event"}


def tag(name: str) -> dict[str, str]:
    return {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": name}


def holds(condition: str, variables: dict[str, str]) -> bool:
    """GitLab's `if`, as far as this pipeline uses it: $NAME, $NAME == "text", $NAME =~ /pattern/."""
    name, operator, value = re.fullmatch(r"\$(\w+)(?: (==|=~) (.+))?", condition).groups()  # type: ignore[union-attr]
    actual = variables.get(name, "")
    if operator == "==":
        return actual == value.strip('"')
    return bool(re.search(value.strip("/"), actual)) if operator else bool(actual)


def applies(rules: list[dict[str, str]], variables: dict[str, str]) -> bool:
    """The first rule that holds decides, as GitLab does it; none: the job is left out."""
    for rule in rules:
        if "if" not in rule or holds(rule["if"], variables):
            return rule.get("when", "on_success") != "never"
    return False


def jobs_for(variables: dict[str, str]) -> set[str]:
    if not applies(PIPELINE["workflow"]["rules"], variables):
        return set()
    return {name for name, job in JOBS.items() if applies(job["rules"], variables)}


@pytest.mark.parametrize(
    ("variables", "jobs"),
    [
        (PUSH, {"test"}),
        (REQUEST, {"test"}),
        (SCHEDULE, {"evaluation:tick"}),
        (tag("release-recommender-nightly-v2"), {"test", "nightly:start", "nightly:schedule"}),
        (tag("release-recommender-main-v2"), {"test", "main:promote"}),
        (tag("release-reader-1.4"), {"test", "reader:image", "reader:restart"}),
        (tag("v1.0"), {"test"}),
        (tag("not-a-release-reader-1.4"), {"test"}),
        ({"CI_PIPELINE_SOURCE": "api"}, set()),
    ],
)
def test_jobs_of_each_occasion(variables: dict[str, str], jobs: set[str]) -> None:
    assert jobs_for(variables) == jobs


def test_every_stage_is_declared_and_tests_come_first() -> None:
    assert {job["stage"] for job in JOBS.values()} == set(PIPELINE["stages"])
    assert PIPELINE["stages"][0] == JOBS["test"]["stage"] == "test"


def test_release_jobs_are_serialised() -> None:
    """Two jobs must never change the stage at once."""
    for name in ("nightly:start", "nightly:schedule", "evaluation:tick", "main:promote"):
        assert JOBS[name]["extends"] == ".on-platform"
    assert PIPELINE[".on-platform"]["resource_group"] == "understudy"


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("release-recommender-nightly-v2", "v2"),
        ("release-recommender-main-2026-01-31", "2026-01-31"),
        ("release-recommender-nightly-main-3", "main-3"),
        ("release-recommender-main-my-nightly-3", "my-nightly-3"),
    ],
)
def test_the_version_is_what_follows_the_tag_prefix(name: str, version: str) -> None:
    (line,) = [line for line in PIPELINE[".on-platform"]["before_script"] if line.startswith("VERSION=")]
    script = f'CI_COMMIT_TAG={name}; {line}; printf %s "$VERSION"'
    assert subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout == version


class GitLab:
    """A stand-in for GitLab's API on loopback: the pipeline schedules of one project."""

    def __init__(self) -> None:
        self.schedules: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(outer.schedules)

            def do_POST(self) -> None:
                outer.schedules.append({"id": 7, **self.body()})
                self.answer(outer.schedules[-1])

            def do_PUT(self) -> None:
                assert self.path == "/api/v4/projects/12/pipeline_schedules/7"
                outer.schedules[0].update(self.body())
                self.answer(outer.schedules[0])

            def body(self) -> Any:
                return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

            def answer(self, document: object) -> None:
                outer.tokens.add(self.headers["PRIVATE-TOKEN"])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/api/v4"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def gitlab() -> Iterator[GitLab]:
    server = GitLab()
    yield server
    server.close()


def test_the_evaluation_is_scheduled_once_and_woken_again(
    gitlab: GitLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    arguments = ["--api", gitlab.api, "--project", "12", "--ref", "main", "--token-file", str(token)]
    schedule_evaluation.main(arguments)
    gitlab.schedules[0]["active"] = False
    schedule_evaluation.main(arguments)
    (schedule,) = gitlab.schedules
    assert (schedule["cron"], schedule["ref"], schedule["active"]) == ("*/5 * * * *", "main", True)
    assert gitlab.tokens == {"secret"}
    assert "secret" not in capsys.readouterr().out


def test_the_token_never_travels_in_the_clear(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    with pytest.raises(SystemExit, match="not https"):
        schedule_evaluation.main(
            ["--api", "http://gitlab.test", "--project", "1", "--ref", "main", "--token-file", str(token)]
        )
