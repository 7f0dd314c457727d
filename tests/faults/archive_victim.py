"""An archiver that dies: `python -m tests.faults.archive_victim HOME BATCH die|live`.

To die, a thread watches the archive and kills the process as soon as a file of events has appeared: mostly before the
commit that would make it part of the table, sometimes just after.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from core.clock import SystemClock
from core.events import TOPIC_INTERACTIONS
from ingest.archiving import archive_new
from storage.raw_archive import open_raw_archive
from tests.ingest_platform import opened


def die_at_the_next_file(folder: Path) -> None:
    before = set(folder.rglob("*.parquet"))
    while set(folder.rglob("*.parquet")) <= before:
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    home, batch, fate = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    folder = home / "archive"
    if fate == "die":
        threading.Thread(target=die_at_the_next_file, args=(folder,), daemon=True).start()
    with opened(home, SystemClock()) as here, open_raw_archive(folder) as archive:
        archive_new(here.database, archive, [TOPIC_INTERACTIONS], batch=batch)


if __name__ == "__main__":
    main()
