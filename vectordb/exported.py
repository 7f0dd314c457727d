"""An encoder exported for ONNX Runtime: a folder under the digest of the weights it was made from.

The digest is the reference encoder's, because the vectors are the same: what one has encoded, the other may
be asked about. The folder holds the graph, the tokenizer, and `export.json`, which says how it was checked.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final

import msgspec

from core.errors import InvalidSettingError

FORMAT_VERSION: Final = 1
RECORD: Final = "export.json"
GRAPH: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of `export.json`.

    `lowest_cosine` and `overlap` compare it with the reference on `texts` texts: the worst cosine of a text's
    two vectors, and the share of nearest neighbours in common. `files` are SHA-256 by name.
    """

    format_version: int
    name: str
    digest: str
    dimension: int
    max_tokens: Annotated[int, msgspec.Meta(ge=2)]
    texts: int
    lowest_cosine: float
    overlap: float
    files: dict[str, str]


def folder_of(store: Path, digest: str) -> Path:
    """Where the export of these weights lies, or would."""
    return store / digest.replace(":", "-")


def open_export(store: Path, digest: str) -> tuple[Path, Export]:
    """The folder of the export of these weights and its record, every file verified.

    Raises:
        InvalidSettingError: there is none, or a file is not what the record says; its path is named.
    """
    folder = folder_of(store, digest)
    record = _read(folder / RECORD)
    if record.digest != digest:
        raise InvalidSettingError(f"{folder / RECORD} is of other weights: {record.digest[:80]}")
    for name in (GRAPH, TOKENIZER):
        path = folder / name
        if not path.is_file():
            raise InvalidSettingError(f"the exported encoder is incomplete: no file {path}")
        if sha256_of(path) != record.files.get(name):
            raise InvalidSettingError(f"{path} has another SHA-256 than {RECORD} says: remove {folder}")
    return folder, record


def sha256_of(path: Path) -> str:
    """Of a whole file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Export:
    if not path.is_file():
        raise InvalidSettingError(
            f"there is no exported encoder: no file {path} (`understudy train` makes it where the weights are)"
        )
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Export)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidSettingError(f"{path} is no record of an exported encoder: {error}") from None
    if record.format_version != FORMAT_VERSION:
        raise InvalidSettingError(f"{path} has format {record.format_version}; this is {FORMAT_VERSION}")
    return record
