"""How the two towers are trained; apart from `training.towers`, so that other recipes do not load torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TowerSettings:
    """Vectors of `width` numbers, a viewer tower with `hidden` units.

    The newest `examples` are learned from in `epochs` rounds of batches. In `text_alone` of the batches videos
    go by their texts only, so that these can stand for a video nobody has watched. `threads` bounds torch.
    """

    width: int = 32
    hidden: int = 64
    epochs: int = 5
    batch: int = 1024
    examples: int = 200_000
    learning_rate: float = 0.01
    decay: float = 1e-5
    text_alone: float = 0.1
    threads: int = 1
    seed: int = 7
