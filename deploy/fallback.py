"""The static trending list of a traffic plan: what viewers see when no arm answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

# Of the bundle's half-lives the one nearest to this: short enough to be fresh, long enough to be stable.
HALF_LIFE_DAYS = 10.0


def trending_of(bundle: Path, count: int) -> tuple[str, ...]:
    """The `count` most trending videos of a bundle, best first; ties go to the lower row.

    Reads `videos.json` and `trending.npz` (`half_lives_days` (H,), `scores` (H, V)) of a verified bundle.
    """
    videos: list[str] = json.loads((bundle / "videos.json").read_text())["video_id"]
    with np.load(bundle / "trending.npz", allow_pickle=False) as trending:
        half_life = int(np.argmin(np.abs(trending["half_lives_days"] - HALF_LIFE_DAYS)))
        scores = trending["scores"][half_life]
    best = np.argsort(-scores, kind="stable")[:count]
    return tuple(videos[row] for row in best)
