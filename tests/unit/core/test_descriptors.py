"""The limit of open files is raised where the machine allows it, and refused by its numbers where not."""

import subprocess
import sys

SCRIPT = """
import resource, sys
from core.descriptors import allow_descriptors
from core.errors import InvalidSettingError
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
try:
    allow_descriptors(int(sys.argv[1]))
except InvalidSettingError as error:
    print(error)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after(needed: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(needed)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_limit_is_raised_to_what_is_needed_and_never_lowered() -> None:
    assert limits_after(250) == "(250, 300)\n"
    assert limits_after(100) == "(200, 300)\n"


def test_more_than_the_machine_allows_is_refused() -> None:
    said = limits_after(301)
    assert "301 open files and sockets are needed, and this machine allows 300" in said
    assert said.endswith("(200, 300)\n")
