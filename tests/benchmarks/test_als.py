"""`make bench-als`: ALS over 20 million synthetic interactions, in a process of its own: memory and time.

A million viewers, 27,000 videos whose popularity falls as a power law, 64 factors, 15 iterations.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from training.als import AlsSettings, train_als
from training.dataset import Dataset, Videos

VIEWERS, VIDEOS, EACH = 1_000_000, 27_000, 20  # every viewer watched so many
MUST_GB = 1.1
AIM_S = 90.0  # on two idle cores


def synthetic(viewers: int, videos: int, each: int) -> Dataset:
    """Random interactions; nothing is known of viewers and videos but their number.

    Everybody watches one video in each of `each` turns, and every turn has videos of its own: no pair is there twice.
    """
    generator = np.random.default_rng(1)
    weight = 1 / np.arange(10, videos + 10)
    viewer, video = np.empty((each, viewers), np.int32), np.empty((each, viewers), np.int32)
    for turn in range(each):
        until = np.cumsum(weight[turn::each])
        viewer[turn] = generator.permutation(viewers)
        video[turn] = turn + each * np.searchsorted(until, generator.random(viewers) * until[-1])
    nothing = ("",) * videos
    catalogue = Videos(nothing, nothing, (None,) * videos, ((),) * videos, nothing, (-1,) * videos)
    return Dataset(
        viewers=("",) * viewers,
        videos=catalogue,
        viewer=viewer.reshape(-1),
        video=video.reshape(-1),
        at_ms=np.arange(viewer.size, dtype=np.int64),
        value=np.full(viewer.size, np.nan, np.float32),
    )


def child() -> None:
    """Train, and say what it took."""
    data = synthetic(VIEWERS, VIDEOS, EACH)
    columns = sum(column.nbytes for column in (data.viewer, data.video, data.at_ms, data.value))
    began, used = time.perf_counter(), time.process_time()
    train_als(data, AlsSettings(factors=64, iterations=15))
    found = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - used,
        "data_gb": columns / 1e9,
        "peak_gb": peak_bytes() / 1e9,
    }
    print(json.dumps(found))


def peak_bytes() -> int:
    """The most memory this process has had. `ru_maxrss` would be its parent's too, which pytest may have filled."""
    line = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert line is not None
    return int(line[1]) * 1024


@pytest.mark.long
def test_twenty_million_interactions_fit_into_little_memory() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from tests.benchmarks.test_als import child; child()"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    found = json.loads(said)
    print(
        f"\nALS, {VIEWERS * EACH:,} interactions, f=64, 15 iterations: {found['peak_gb']:.2f} GB at most (must {MUST_GB}), "
        f"{found['data_gb']:.2f} of them the data set itself; "
        f"{found['wall_s']:.0f} s by the clock on {os.cpu_count()} cores (aim {AIM_S:.0f} on two idle ones), "
        f"{found['cpu_s']:.0f} s of processors"
    )
    assert found["peak_gb"] <= MUST_GB
