"""Which encoder training uses: the exported one, made first where it is missing; it is several times as fast."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.errors import InvalidInputError, InvalidSettingError, RefusedError
from vectordb.encoder import Encoder
from vectordb.onnx_encoder import OnnxEncoder
from vectordb.onnx_export import export_encoder
from vectordb.sentence_transformer import SentenceTransformerEncoder, weights_folder

BESIDE: Final = (
    ".encoders"  # where there is no platform: beside the bundles, kept out of their list by its name
)


def training_encoder(store: Path, say: Callable[[str], None] = lambda _: None) -> Encoder:
    """The encoder whose export is in `store`, or comes to be there; the reference where it cannot be exported.

    Raises:
        InvalidSettingError: the reference weights are not installed; the package or path is named.
    """
    reference = SentenceTransformerEncoder.local()
    cores = os.cpu_count() or 1
    try:
        return OnnxEncoder(store, reference.digest, threads=cores)
    except InvalidSettingError:
        say("exporting the encoder, once, and comparing it with the reference")
    try:
        export_encoder(reference, weights_folder(), store)
    except (InvalidInputError, RefusedError) as error:
        say(f"warning: {error}; the reference encodes instead, and there is no text search")
        return reference
    return OnnxEncoder(store, reference.digest, threads=cores)
