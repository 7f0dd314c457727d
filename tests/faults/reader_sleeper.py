"""A reader that is stopped in mid-batch: `python -m tests.faults.reader_sleeper HOME SERVERS URL TOPIC SESSION_MS`.

It stops itself (SIGSTOP) between the SQL commit and the offset commit of its first batch. Continued, it goes on
until nothing waits, and prints as JSON how often a commit of its was refused.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tests.faults.real_platform import Place, counted, opened_at
from tests.ingest_platform import FaultyEventLog


def main() -> None:
    home, servers, url, topic, session_ms = sys.argv[1:]
    stops = [signal.SIGSTOP]

    def sleep_once() -> None:
        if stops:
            os.kill(os.getpid(), stops.pop())

    with opened_at(Place(Path(home), servers, url, topic, int(session_ms))) as here:
        reader = here.reader(log=FaultyEventLog(here.log, on_commit=sleep_once))
        here.read_up(reader)
        print(json.dumps({"refused": counted(reader, "commits_refused_total")}))


if __name__ == "__main__":
    main()
