"""docs/faults.md names every fault around serving, and only tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/faults.md").read_text()
ROWS = [line.split(" | ") for line in PAGE.splitlines() if re.match(r"\| [FHCM][0-9]", line)]
NAMED = re.findall(r"(long: )?`(tests/\S+\.py)::(\w+)`", PAGE)


def test_every_fault_has_a_row() -> None:
    rows = {fault for row in ROWS for fault in row[0].strip("| ").split()}
    wanted = {"F": range(16, 36), "H": range(1, 32), "C": range(1, 13), "M": range(1, 16)}
    assert {f"{kind}{number}" for kind, numbers in wanted.items() for number in numbers} <= rows


def test_every_row_names_a_test_that_is_there() -> None:
    assert all("::" in row[2] for row in ROWS)
    for _, path, name in NAMED:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_what_is_called_long_is_long() -> None:
    for long, path, name in NAMED:
        text = (ROOT / path).read_text()
        marked = "pytestmark = pytest.mark.long" in text or f"@pytest.mark.long\ndef {name}(" in text
        assert marked == bool(long), name
