"""`python -m deploy.launch RECORD LOCK_FD COMMAND...`: write down who we are, then become the command.

The record is written by the new process itself, under a lock that it inherits. Whoever starts an instance
may thus be killed at any moment: the next one waits for the lock and then finds the process on record.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from deploy.processes import identify


def main(arguments: list[str]) -> None:
    record, lock, *command = arguments
    path = Path(record)
    me = identify(os.getpid())
    if me is None:
        raise SystemExit("cannot read this process's own start time")
    written = {**json.loads(path.read_text()), "pid": me.pid, "started": me.started}
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(written))
    beside.replace(path)
    os.close(int(lock))  # releases it, unless the parent lives and still holds it
    os.execvp(command[0], command)  # noqa: S606 - the command is our own, from the runtime


if __name__ == "__main__":
    main(sys.argv[1:])
