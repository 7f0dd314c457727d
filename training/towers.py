"""A two-tower retrieval model on torch: in-batch softmax with the logQ correction (Yi and others, RecSys 2019).

A video's vector is its text's, projected, plus one of its own that begins at zero: a video that nobody has watched
goes by its text. The viewer tower reads the mean of the vectors last watched, weighed by recency.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy, embedding_bag

from core.errors import InvalidInputError
from inference.recommender.arrays import F32, I64, Towers
from inference.recommender.sources.towers import LAST, recency
from training.dataset import Dataset
from training.history import viewer_order
from training.tower_settings import TowerSettings


class Examples(NamedTuple):
    """What was watched next: `targets` (E,), after `before` (E, LAST), weighed by `weights`; 0 weighs nothing."""

    targets: I64
    before: I64
    weights: F32


class Net(NamedTuple):
    """Everything that is learned; in the shapes of `Towers`, videos in two parts."""

    projection: torch.Tensor
    own: torch.Tensor
    hidden: torch.Tensor
    hidden_bias: torch.Tensor
    out: torch.Tensor
    out_bias: torch.Tensor

    def videos(self, texts: torch.Tensor, *, text_alone: bool = False) -> torch.Tensor:
        """Every video's vector (V, D)."""
        projected = texts @ self.projection
        return projected if text_alone else projected + self.own

    def viewers(self, watched: torch.Tensor) -> torch.Tensor:
        """Viewers' vectors from means of what they watched (n, D): what `sources.towers` computes for one."""
        hidden = torch.relu(watched @ self.hidden + self.hidden_bias)
        return watched + hidden @ self.out + self.out_bias


def train_towers(dataset: Dataset, embeddings: F32, settings: TowerSettings) -> Towers:
    """Learn from every viewer's steps from one video to the next; without any, texts alone speak.

    Args:
        dataset: interactions.
        embeddings: float32 (V, E), the videos' texts.
        settings: sizes and strengths; the same ones, data and machine give the same numbers.

    Raises:
        InvalidInputError: what was learned is not finite.
    """
    examples = examples_of(dataset, settings.examples)
    with _threads(settings.threads):
        texts = torch.from_numpy(np.array(embeddings, np.float32))
        net = _net(texts.shape, settings)
        optimizer = torch.optim.Adam(net, lr=settings.learning_rate, weight_decay=settings.decay)
        log_share = torch.from_numpy(_log_shares(examples.targets, len(embeddings)))
        for part, text_alone in _batches(len(examples.targets), settings):
            optimizer.zero_grad()
            videos = net.videos(texts, text_alone=text_alone)
            _loss(net, videos, _part(examples, part), log_share).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            learned = [net.videos(texts), net.hidden, net.hidden_bias, net.out, net.out_bias]
    return _finite(
        Towers(*(np.ascontiguousarray(of.detach().numpy(), np.float32) for of in learned)), settings
    )


def examples_of(dataset: Dataset, most: int) -> Examples:
    """The newest `most` videos that somebody watched after another one, each with up to LAST before it."""
    order = viewer_order(dataset)
    viewer, video = dataset.viewer[order], dataset.video[order].astype(np.int64)
    first = np.searchsorted(viewer, viewer)
    place = np.arange(len(video)) - first
    chosen = np.flatnonzero(place > 0)
    chosen = chosen[np.argsort(-dataset.at_ms[order[chosen]], kind="stable")[:most]]
    back = chosen[:, None] - np.arange(1, LAST + 1)
    there = back >= first[chosen, None]
    weights = recency(LAST)[::-1] * there
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    return Examples(video[chosen], video[np.where(there, back, 0)], (weights / total).astype(np.float32))


def _net(shape: torch.Size, settings: TowerSettings) -> Net:
    """Near cosines of the texts at first: a random projection, and a viewer tower that changes nothing."""
    generator = torch.Generator().manual_seed(settings.seed)
    width, hidden = settings.width, settings.hidden
    net = Net(
        projection=torch.randn(shape[1], width, generator=generator) / width**0.5,
        own=torch.zeros(shape[0], width),
        hidden=torch.randn(width, hidden, generator=generator) / width**0.5,
        hidden_bias=torch.zeros(hidden),
        out=torch.zeros(hidden, width),
        out_bias=torch.zeros(width),
    )
    return Net(*(part.requires_grad_() for part in net))


def _loss(net: Net, videos: torch.Tensor, batch: Examples, log_share: torch.Tensor) -> torch.Tensor:
    """Which of the batch's targets each viewer watched; popular ones are in more batches, so less their log share."""
    targets = torch.from_numpy(batch.targets)
    before, weights = torch.from_numpy(batch.before), torch.from_numpy(batch.weights)
    viewers = net.viewers(embedding_bag(before, videos, per_sample_weights=weights, mode="sum"))
    logits = viewers @ videos[targets].T - log_share[targets]
    same = (targets[:, None] == targets[None, :]).fill_diagonal_(False)
    return cross_entropy(logits.masked_fill(same, -torch.inf), torch.arange(len(targets)))


def _log_shares(targets: I64, videos: int) -> F32:
    counts = np.bincount(targets, minlength=videos)
    return np.log(np.maximum(counts, 1) / max(1, len(targets))).astype(np.float32)


def _batches(examples: int, settings: TowerSettings) -> Iterator[tuple[I64, bool]]:
    generator = np.random.default_rng(settings.seed)
    for _ in range(settings.epochs):
        order = generator.permutation(examples)
        for start in range(0, examples, settings.batch):
            yield order[start : start + settings.batch], bool(generator.random() < settings.text_alone)


def _part(examples: Examples, part: I64) -> Examples:
    return Examples(examples.targets[part], examples.before[part], examples.weights[part])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Torch's pool at this size: left alone it takes every core."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _finite(towers: Towers, settings: TowerSettings) -> Towers:
    parts = (towers.videos, towers.hidden, towers.hidden_bias, towers.out, towers.out_bias)
    if not all(np.isfinite(part).all() for part in parts):
        raise InvalidInputError(f"the two towers did not converge to finite numbers with {settings}")
    return towers
