"""Make sure that GitLab runs the online evaluation's tick: one active pipeline schedule, every five minutes.

    schedule_evaluation.py --api URL --project ID --ref BRANCH --token-file FILE

Idempotent: an existing schedule of ours is activated and brought up to date, never doubled.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

DESCRIPTION = "understudy online evaluation"
SCHEDULE = {"description": DESCRIPTION, "cron": "*/5 * * * *", "cron_timezone": "UTC", "active": True}


class Schedules:
    """The pipeline schedules of one GitLab project."""

    def __init__(self, api: str, project: str, token: str) -> None:
        if not api.startswith(("https://", "http://127.0.0.1:")):
            sys.exit(f"{api} is not https: the token would travel in the clear")
        self._url = f"{api}/projects/{project}/pipeline_schedules"
        self._token = token

    def ours(self) -> int | None:
        """The id of our schedule, if there is one."""
        found = self._call("GET", "?per_page=100")
        return next((int(entry["id"]) for entry in found if entry["description"] == DESCRIPTION), None)

    def create(self, ref: str) -> int:
        return int(self._call("POST", "", {**SCHEDULE, "ref": ref})["id"])

    def update(self, number: int, ref: str) -> None:
        self._call("PUT", f"/{number}", {**SCHEDULE, "ref": ref})

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"PRIVATE-TOKEN": self._token, "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self._url + path, data, headers, method=method)  # noqa: S310 checked above
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 checked above
            return json.load(answer)


def ensure(schedules: Schedules, ref: str) -> str:
    """Create or activate; says what was done."""
    number = schedules.ours()
    if number is None:
        return f"schedule {schedules.create(ref)} created"
    schedules.update(number, ref)
    return f"schedule {number} is active"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--api", "--project", "--ref", "--token-file"):
        parser.add_argument(name, required=True)
    given = parser.parse_args(arguments)
    token = Path(given.token_file).read_text().strip()
    try:
        print(ensure(Schedules(given.api, given.project, token), given.ref))
    except urllib.error.URLError as error:
        sys.exit(f"GitLab did not take the schedule: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
