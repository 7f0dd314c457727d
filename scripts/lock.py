"""Write constraints.txt: the exact version of everything that `.[dev]` needs, resolved anew.

    make lock

pip resolves for this machine (on Linux that includes the libraries torch brings along); elsewhere the
pins of packages that are not needed there are without effect.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Exact versions of everything that `pip install -e '.[dev]'` installs. Made by `make lock`, which resolves
# pyproject.toml anew; do not edit. Used as `pip install -c constraints.txt ...` by the Makefile and the images.
"""
OWN = "understudy"


def resolve() -> dict[str, str]:
    """Normalised name -> version of the whole resolved set, ours left out."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--no-input"]
    report = subprocess.run(
        [*pip, "--report", "-", "-e", ".[dev]"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    found = [entry["metadata"] for entry in json.loads(report.stdout)["install"]]
    pins = {re.sub(r"[-_.]+", "-", meta["name"]).lower(): meta["version"] for meta in found}
    pins.pop(OWN, None)
    return pins


def refuse_local(pins: dict[str, str]) -> None:
    """A version such as 2.9.0+cpu exists in no public index, so nobody else could install it."""
    local = sorted(name for name, version in pins.items() if "+" in version)
    if local:
        sys.exit(f"local builds cannot be pinned: {', '.join(local)}")


def main() -> None:
    pins = resolve()
    refuse_local(pins)
    lines = "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
    (ROOT / "constraints.txt").write_text(HEADER + lines)
    print(f"constraints.txt: {len(pins)} packages")


if __name__ == "__main__":
    main()
