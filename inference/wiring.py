"""Builds the inference service of one worker process: read it from top to bottom."""

from __future__ import annotations

from flask import Flask

from core.clock import MINUTE, SystemClock
from core.metrics import new_registry
from core.repeated import Repeated
from core.settings import PlatformSettings
from inference.arrivals import LOOK_S, ArrivalWatch
from inference.earlier import Earlier
from inference.live_window import REFRESH_S, LiveWindow
from inference.lookups import Lookups
from inference.profiles import EmbeddedProfileReader, ProfileReader, Profiles
from inference.query_encoder import QueryEncoder
from inference.recommender.bundle import load_bundle
from inference.recommender.context import Request
from inference.recommender.recommend import Recommender
from inference.service import ServiceParts, create_app
from inference.settings import InferenceSettings
from storage import bundles
from storage.connect import open_serving_store
from storage.serving_store import ServingStore
from vectordb.onnx_encoder import OnnxEncoder

# How long the first answers may have to wait for the serving store; after it they are degraded.
FIRST_LOOK_S = 2.0


def build_inference(settings: InferenceSettings, platform: PlatformSettings, version: str) -> Flask:
    """Called in the worker, after the fork. Raises as `build_parts` does."""
    return create_app(build_parts(settings, platform, version))


def build_parts(settings: InferenceSettings, platform: PlatformSettings, version: str) -> ServiceParts:
    """What the service is made of, without HTTP: for whoever asks a version in its own process.

    Raises:
        NotFoundError: there is no such version.
        InvalidBundleError: a file of the bundle is not what its manifest says.
    """
    clock = SystemClock()
    found = bundles.find(platform.bundles, version)
    recommender = Recommender(load_bundle(found.path, found.digest), diverse=True)
    store = open_serving_store(platform, clock)
    live = LiveWindow(
        store,
        clock,
        lambda counts: recommender.live_trending(counts, clock.now_ms()),
        minutes=settings.trending_minutes,
        half_life_minutes=settings.trending_half_life_minutes,
    )
    Repeated("live trending", live.refresh, REFRESH_S).start(FIRST_LOOK_S)
    # The first list costs more than the others: page faults of the factors. No viewer pays for it.
    # With a video to start from, every source and the ranker are asked.
    first = recommender.model.catalogue.video_ids[0]
    recommender.recommend(Request("warm-up", context_video=first), None, live.current, clock.now_ms())
    encoder = QueryEncoder(lambda: OnnxEncoder(platform.encoders, recommender.model.manifest.encoder_digest))
    encoder.warm()
    arrivals = ArrivalWatch(store, recommender.model, encoder.encode)
    if recommender.model.blend.cold_share:
        Repeated("arrivals", arrivals.refresh, LOOK_S).start()
    profiles = _profiles(store, settings, platform)
    return ServiceParts(
        version=version,
        bundle_digest=found.digest,
        recommender=recommender,
        find=Lookups(recommender.model, encoder, lambda: live.current, clock).find,
        profiles=profiles,
        earlier=Earlier(profiles, settings.shown_half_life_minutes * MINUTE),
        live=live,
        arrivals=lambda: arrivals.current,
        clock=clock,
        registry=new_registry("inference", version=version),
        # The bundle is open, or we would not be here; without the serving store answers are degraded.
        checks={},
    )


def _profiles(store: ServingStore, settings: InferenceSettings, platform: PlatformSettings) -> Profiles:
    if platform.mongodb_url.get_secret_value():
        return ProfileReader(store, settings.threads, settings.profile_ms / 1000)
    return EmbeddedProfileReader(store)
