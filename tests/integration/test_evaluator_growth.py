"""A look reads what is new since the look before, however much is stored already."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.clock import HOUR
from deploy.crediting import Keys, Lists, Objects
from deploy.evaluator import Evaluator
from deploy.outcome_rows import InteractionColumns, RequestRows
from deploy.rows import DatabaseRows
from storage.database import open_database
from storage.migrate import migrate
from tests.release_support import LOOK_MS, PLAN
from tests.release_viewers import REQUEST_MS, Viewers

LOOKS = 60
START_MS = 1_700_000_000_000
A_LOOK = LOOK_MS // REQUEST_MS  # requests


@dataclass(slots=True)
class Read:
    """How many of each were read."""

    exposures: int = 0
    events: int = 0
    shown: int = 0
    named: int = 0


@dataclass(slots=True)
class CountedRows:
    """The rows of a database, counted as they are read."""

    stored: DatabaseRows
    read: Read = field(default_factory=Read)

    def exposures(self, *wanted: Any) -> tuple[RequestRows, int]:
        rows, last = self.stored.exposures(*wanted)
        self.read.exposures += rows.size
        return rows, last

    def interactions(self, *wanted: Any) -> tuple[InteractionColumns, int]:
        columns, last = self.stored.interactions(*wanted)
        self.read.events += len(columns.user_id)
        return columns, last

    def shown(self, keys: Keys) -> Lists:
        self.read.shown += len(keys)
        return self.stored.shown(keys)

    def named(self, request_ids: Objects) -> tuple[Keys, Lists | None]:
        self.read.named += len(request_ids)
        return self.stored.named(request_ids)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stored, name)


def test_the_last_looks_read_no_more_than_the_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/understudy.db"
    migrate(url)
    database = open_database(url)
    viewers = Viewers(database, "r")
    rows = CountedRows(DatabaseRows(database))
    evaluator, plan = Evaluator(rows), replace(PLAN, max_duration_ms=HOUR)
    reads: list[Read] = []
    for look in range(1, LOOKS + 1):
        at_ms = START_MS + look * LOOK_MS
        viewers.play(at_ms, at_ms - LOOK_MS)
        rows.read = Read()
        evaluator.look("r", plan, START_MS, at_ms, at_ms)
        reads.append(rows.read)
    # The horizon is reached after three looks: from there on every look does the same.
    for read in reads[3:]:
        assert read.exposures == A_LOOK
        assert 0 < read.events < A_LOOK / 2  # a third of the requests is watched
        # Half of the events name their request; the others are looked for among their viewer's requests of one window.
        assert 0 < read.named < read.events
        assert 0 < read.shown < 2 * read.events
