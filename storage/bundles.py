"""The bundle store: immutable model bundles, one directory each, published by rename, verified before use.

A bundle's digest is the SHA-256 of its manifest, and the manifest holds the SHA-256 of every other file:
one short string names encoder, index, factors and ranking together.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec

from core.errors import InvalidBundleError, NotFoundError, RefusedError
from core.ids import check_version

FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
STAGING_PREFIX: Final = ".staging-"
MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one file must be: lower-case hexadecimal SHA-256 and size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle says of itself. `files` maps relative POSIX paths to what they must be.

    `dimensions` has at least `videos` and `embedding`; `evaluation` is the offline evaluation's summary.
    """

    format_version: int = FORMAT_VERSION
    version: str
    created_ms: int
    as_of_ms: int
    data_digest: str
    code_revision: str
    encoder: str
    encoder_digest: str
    dimensions: dict[str, int]
    evaluation: dict[str, Any] = {}  # msgspec copies an empty default for each instance
    notes: str = ""
    files: dict[str, FileEntry] = {}


class _Format(msgspec.Struct):
    """The one field that every format, past and future, has."""

    format_version: int


@dataclass(frozen=True, slots=True)
class BundleRef:
    """A published bundle: its version, its digest ("sha256:...") and where it lies."""

    version: str
    digest: str
    path: Path


@contextmanager
def staging_folder(store: Path) -> Iterator[Path]:
    """A new folder inside the store in which to build a bundle; gone afterwards unless it was published."""
    store.mkdir(parents=True, exist_ok=True)
    folder = store / f"{STAGING_PREFIX}{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(store: Path, staging: Path, manifest: Manifest, key: bytes | None = None) -> BundleRef:
    """Make the files under `staging` a bundle of the store, in one rename: it is there whole, or not at all.

    Args:
        store: the folder of all bundles, on the same file system as `staging`.
        staging: a folder from `staging_folder`; it is moved.
        manifest: everything but `files`, which is computed here.
        key: sign the manifest with HMAC-SHA256 for stores whose readers ask for it.

    Raises:
        RefusedError: this version exists with other content.
        InvalidBundleError: a link or special file under `staging`.
    """
    check_version(manifest.version)
    files = {name: _describe(path) for name, path in _walk(staging)}
    whole = msgspec.structs.replace(manifest, files=dict(sorted(files.items())))
    content = msgspec.json.format(msgspec.json.encode(whole), indent=1)
    (staging / MANIFEST).write_bytes(content)
    if key is not None:
        (staging / SIGNATURE).write_text(_sign(content, key))
    _sync_tree(staging)
    target = store / manifest.version
    try:
        staging.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        return _already_there(target, whole)
    _sync(store)
    return BundleRef(manifest.version, _digest(content), target)


def open_bundle(path: Path, digest: str | None = None, key: bytes | None = None) -> Manifest:
    """The manifest, once every file of the bundle has been found to be what the manifest says.

    Args:
        path: the bundle's folder.
        digest: refuse a bundle with another digest.
        key: refuse a bundle that is not signed with this key.

    Raises:
        InvalidBundleError: names the file that is missing, too many, changed, a link, or of a newer format.
    """
    content = _manifest_bytes(path)
    if digest is not None and _digest(content) != digest:
        raise InvalidBundleError(f"{path}: its digest is {_digest(content)}, asked for was {digest}")
    if key is not None:
        _check_signature(path, content, key)
    manifest = _decode(path, content)
    found = dict(_walk(path))
    for name in manifest.files:
        if name not in found:
            raise InvalidBundleError(f"{path}: file {name!r} is missing")
    for name in found:
        if name not in manifest.files:
            raise InvalidBundleError(f"{path}: file {name!r} is not in the manifest")
    for name, entry in manifest.files.items():
        _check_file(path, name, found[name], entry)
    return manifest


def read_manifest(path: Path) -> Manifest:
    """The manifest alone, its files unverified: for lists and pages, never before loading a model.

    Raises:
        InvalidBundleError: no manifest, or not one of ours.
    """
    return _decode(path, _manifest_bytes(path))


def digest_of(path: Path) -> str:
    """The digest of the bundle in this folder.

    Raises:
        InvalidBundleError: no manifest.
    """
    return _digest(_manifest_bytes(path))


def find(store: Path, version: str) -> BundleRef:
    """The bundle of this version.

    Raises:
        NotFoundError: none; the nearest versions are named.
        InvalidInputError: this cannot be a version's name.
        InvalidBundleError: its manifest is missing.
    """
    path = store / check_version(version)
    if not path.is_dir():
        known = [ref.version for ref in list_bundles(store)]
        near = difflib.get_close_matches(version, known, n=3, cutoff=0.3) or known[-3:]
        hint = f"; nearest: {', '.join(near)}" if near else "; the store has none"
        raise NotFoundError(f"no bundle {version!r} in {store}{hint}")
    return BundleRef(version, digest_of(path), path)


def list_bundles(store: Path) -> list[BundleRef]:
    """Every published bundle, by version; folders without a manifest and unfinished ones are left out."""
    if not store.is_dir():
        return []
    folders = sorted(p for p in store.iterdir() if not p.name.startswith(".") and (p / MANIFEST).is_file())
    return [BundleRef(path.name, digest_of(path), path) for path in folders]


def _manifest_bytes(path: Path) -> bytes:
    file = path / MANIFEST
    if file.is_symlink():
        raise InvalidBundleError(f"{path}: file {MANIFEST!r} is a link")
    try:
        if file.stat().st_size > MAX_MANIFEST_BYTES:
            raise InvalidBundleError(f"{path}: file {MANIFEST!r} is larger than {MAX_MANIFEST_BYTES} bytes")
        return file.read_bytes()
    except OSError as error:
        raise InvalidBundleError(f"{path}: file {MANIFEST!r} cannot be read: {error.strerror}") from None


def _decode(path: Path, content: bytes) -> Manifest:
    try:
        written = msgspec.json.decode(content, type=_Format).format_version
        if written > FORMAT_VERSION:
            raise InvalidBundleError(
                f"{path}: file {MANIFEST!r} has format {written}; this build reads up to {FORMAT_VERSION}"
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBundleError(f"{path}: file {MANIFEST!r} is not a manifest: {error}") from None
    for name, entry in manifest.files.items():
        if not _is_inside(name):
            raise InvalidBundleError(f"{path}: file {MANIFEST!r} names {name!r}, which is no path inside")
        if entry.size < 0 or not _SHA256.fullmatch(entry.sha256):
            raise InvalidBundleError(f"{path}: file {MANIFEST!r} has no proper hash and size for {name!r}")
    return manifest


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    return "\\" not in name and "\0" not in name and all(part not in {"", ".", ".."} for part in parts)


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Relative name and path of every regular file but the manifest and its signature."""
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(root, name)
            relative = PurePosixPath(path.relative_to(folder)).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise InvalidBundleError(f"{folder}: file {relative!r} is a link or a special file")
            if path.is_file() and relative not in {MANIFEST, SIGNATURE}:
                yield relative, path


def _describe(path: Path) -> FileEntry:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(sha256, path.stat().st_size)


def _check_file(bundle: Path, name: str, path: Path, entry: FileEntry) -> None:
    size = path.stat().st_size
    if size != entry.size:
        raise InvalidBundleError(f"{bundle}: file {name!r} has {size} bytes, the manifest says {entry.size}")
    if _describe(path).sha256 != entry.sha256:
        raise InvalidBundleError(f"{bundle}: file {name!r} has another SHA-256 than the manifest says")


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _sign(content: bytes, key: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def _check_signature(path: Path, content: bytes, key: bytes) -> None:
    file = path / SIGNATURE
    if file.is_symlink() or not file.is_file():
        raise InvalidBundleError(f"{path}: file {SIGNATURE!r} is missing, and only signed bundles are taken")
    if not hmac.compare_digest(file.read_bytes().strip(), _sign(content, key).encode()):
        raise InvalidBundleError(f"{path}: file {SIGNATURE!r} is not of this manifest and our key")


def _already_there(target: Path, wanted: Manifest) -> BundleRef:
    existing = read_manifest(target)
    if msgspec.structs.replace(existing, created_ms=wanted.created_ms) != wanted:
        raise RefusedError(
            f"version {wanted.version!r} exists with other content in {target}; bundles never change: "
            "publish under another version"
        )
    return BundleRef(wanted.version, digest_of(target), target)


def _sync_tree(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        for name in files:
            _sync(Path(root, name))
        _sync(Path(root))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
