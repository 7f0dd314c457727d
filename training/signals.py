"""What the sources behind a ranker read: trained together, as of one moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.recommender.arrays import Factors, Signals, SparseRows
from inference.recommender.blend import FoldIn
from inference.recommender.signals_file import SignalsFile
from training.als import AlsSettings, train_als
from training.covisitation import CovisitationSettings, covisitation
from training.crowd import CrowdSettings, train_crowd
from training.dataset import Dataset
from training.ease import EaseSettings, train_ease
from training.facts import rating_scale, video_facts


@dataclass(frozen=True, slots=True)
class SignalSettings:
    """Sizes and strengths; none of them fits one data set."""

    als_recent: AlsSettings = field(
        default_factory=lambda: AlsSettings(16, 10.0, 2.0, 10, half_life_days=14.0)
    )
    ease: EaseSettings = field(default_factory=EaseSettings)
    covisitation_recent: CovisitationSettings = field(
        default_factory=lambda: CovisitationSettings(width=100, doubt=1.0, half_life_days=30.0)
    )
    crowd: CrowdSettings = field(default_factory=CrowdSettings)


def train_signals(dataset: Dataset, settings: SignalSettings, as_of_ms: int) -> Signals:
    """Everything of `Signals`, from interactions up to `as_of_ms` only."""
    _, videos = train_als(dataset, settings.als_recent, as_of_ms)
    return Signals(
        how=_how(dataset, settings),
        factors_recent=Factors.of(videos, None),
        ease=train_ease(dataset, settings.ease),
        covisitation_recent=covisitation_rows(dataset, settings.covisitation_recent, as_of_ms),
        crowd=train_crowd(dataset, settings.crowd, as_of_ms),
        facts=video_facts(dataset, as_of_ms),
    )


def _how(dataset: Dataset, settings: SignalSettings) -> SignalsFile:
    how = settings.als_recent
    mean, spread = rating_scale(dataset)
    return SignalsFile(
        FoldIn(how.alpha, how.regularization, how.half_life_days), mean, spread, dataset.shares
    )


def covisitation_rows(dataset: Dataset, settings: CovisitationSettings, as_of_ms: int) -> SparseRows:
    """Co-visitation in a bundle's form."""
    table = covisitation(dataset, settings, as_of_ms)
    return SparseRows(
        table.indptr.astype("int64"), table.indices.astype("int32"), table.data.astype("float32")
    )
