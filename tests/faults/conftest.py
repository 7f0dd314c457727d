"""What the reader's faults happen to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.real_platform import RealPlatform, new_place, opened_at


@pytest.fixture
def real(tmp_path: Path, kafka_servers: str, postgresql_database: str) -> Iterator[RealPlatform]:
    """An empty platform on Kafka and PostgreSQL."""
    with opened_at(new_place(tmp_path, kafka_servers, postgresql_database)) as made:
        yield made
