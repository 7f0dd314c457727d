"""Candidate sources, ranking and filters: the code that serves and the code that is evaluated offline."""

from inference.recommender.bundle import ModelBundle, load_bundle
from inference.recommender.context import MAX_COUNT, LiveTrending, Request
from inference.recommender.recommend import Item, Recommendation, Recommender, recommend

__all__ = [
    "MAX_COUNT",
    "Item",
    "LiveTrending",
    "ModelBundle",
    "Recommendation",
    "Recommender",
    "Request",
    "load_bundle",
    "recommend",
]
