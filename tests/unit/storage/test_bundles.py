"""Bundles are published whole, never change, and are refused by name when anything about them is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from core.errors import InvalidBundleError, InvalidInputError, NotFoundError, RefusedError
from storage.bundles import (
    MANIFEST,
    SIGNATURE,
    BundleRef,
    Manifest,
    digest_of,
    find,
    list_bundles,
    open_bundle,
    publish,
    read_manifest,
    staging_folder,
)

FILES = {
    "videos.json": b'{"video_id":[]}',
    "embeddings.npy": bytes(range(200)),
    "chroma/index.bin": b"x" * 50,
}


def manifest(version: str = "v1", created_ms: int = 1) -> Manifest:
    return Manifest(
        version=version,
        created_ms=created_ms,
        as_of_ms=2,
        data_digest="sha256:d",
        code_revision="abc",
        encoder="e",
        encoder_digest="sha256:e",
        dimensions={"videos": 1},
    )


def published(
    store: Path,
    version: str = "v1",
    files: dict[str, bytes] = FILES,
    created_ms: int = 1,
    key: bytes | None = None,
) -> BundleRef:
    with staging_folder(store) as staging:
        for name, content in files.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_bytes(content)
        return publish(store, staging, manifest(version, created_ms), key)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return published(tmp_path / "store").path


def test_what_is_published_opens_and_lists_every_file(tmp_path: Path) -> None:
    ref = published(tmp_path)
    opened = open_bundle(ref.path, ref.digest)
    assert ref.path == tmp_path / "v1"
    assert set(opened.files) == set(FILES)
    assert opened.files["embeddings.npy"].size == 200
    assert read_manifest(ref.path) == opened


def test_the_digest_names_every_byte(tmp_path: Path) -> None:
    first = published(tmp_path / "a")
    again = published(tmp_path / "b")
    other = published(tmp_path / "c", files=FILES | {"videos.json": b'{"video_id":[1]}'})
    assert first.digest == again.digest == digest_of(first.path)
    assert first.digest.startswith("sha256:")
    assert other.digest != first.digest


def test_equal_content_again_is_the_bundle_that_is_there(tmp_path: Path) -> None:
    first = published(tmp_path)
    assert published(tmp_path, created_ms=99) == first
    assert [ref.version for ref in list_bundles(tmp_path)] == ["v1"]


def test_a_version_never_changes(tmp_path: Path) -> None:
    first = published(tmp_path)
    with pytest.raises(RefusedError, match="'v1' exists with other content"):
        published(tmp_path, files=FILES | {"videos.json": b"{}"})
    assert digest_of(first.path) == first.digest
    open_bundle(first.path, first.digest)


def test_nothing_is_left_of_what_was_not_published(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staging_folder(tmp_path) as staging:
        (staging / "half").write_bytes(b"")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_list_leaves_out_what_is_unfinished(tmp_path: Path) -> None:
    published(tmp_path, "v2")
    published(tmp_path, "v1")
    (tmp_path / ".staging-dead").mkdir()
    (tmp_path / "notes").mkdir()
    assert [ref.version for ref in list_bundles(tmp_path)] == ["v1", "v2"]
    assert list_bundles(tmp_path / "nowhere") == []


def test_an_unknown_version_names_the_nearest(tmp_path: Path) -> None:
    published(tmp_path, "2026-01-31")
    assert find(tmp_path, "2026-01-31").version == "2026-01-31"
    with pytest.raises(NotFoundError, match="nearest: 2026-01-31"):
        find(tmp_path, "2026-01-13")
    with pytest.raises(NotFoundError, match="the store has none"):
        find(tmp_path / "empty", "v1")
    with pytest.raises(InvalidInputError):
        find(tmp_path, "../v1")


def delete(file: Path) -> None:
    file.unlink()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
@pytest.mark.parametrize("damage", [delete, truncate, flip_a_bit, zero])
def test_a_damaged_file_is_refused_by_name(bundle: Path, name: str, damage: Callable[[Path], None]) -> None:
    digest = digest_of(bundle)
    damage(bundle / name)
    with pytest.raises(InvalidBundleError) as refused:
        open_bundle(bundle, digest)
    # A manifest that still parses is found out by the digest it no longer has.
    assert name in str(refused.value) or "its digest is" in str(refused.value)


def test_an_extra_file_is_refused_by_name(bundle: Path) -> None:
    (bundle / "chroma/extra.bin").write_bytes(b"")
    with pytest.raises(InvalidBundleError, match=r"'chroma/extra\.bin' is not in the manifest"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", ["videos.json", MANIFEST])
def test_a_link_is_refused_although_its_content_is_right(bundle: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    shutil.move(bundle / name, outside)
    (bundle / name).symlink_to(outside)
    with pytest.raises(InvalidBundleError, match=f"{name}' is a link"):
        open_bundle(bundle)


def test_a_linked_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "chroma", tmp_path / "chroma")
    (bundle / "chroma").symlink_to(tmp_path / "chroma")
    with pytest.raises(InvalidBundleError, match="'chroma' is a link"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a//b", "a/../b", "", ".", "a\\b"])
def test_a_manifest_that_points_outside_is_refused(bundle: Path, name: str) -> None:
    rewrite(bundle, lambda content: content["files"].update({name: {"sha256": "0" * 64, "size": 1}}))
    with pytest.raises(InvalidBundleError, match="no path inside"):
        open_bundle(bundle)


def test_a_newer_format_is_refused_even_with_unknown_fields(bundle: Path) -> None:
    rewrite(bundle, lambda content: content.update({"format_version": 2, "invented_later": True}))
    with pytest.raises(InvalidBundleError, match="has format 2; this build reads up to 1"):
        open_bundle(bundle)


def test_an_unknown_field_is_refused(bundle: Path) -> None:
    rewrite(bundle, lambda content: content.update({"surprise": True}))
    with pytest.raises(InvalidBundleError, match="surprise"):
        open_bundle(bundle)


def test_another_digest_than_asked_for_is_refused(bundle: Path) -> None:
    with pytest.raises(InvalidBundleError, match="asked for was sha256:00"):
        open_bundle(bundle, "sha256:00")


def test_where_signing_is_required_only_our_signature_opens(tmp_path: Path) -> None:
    signed = published(tmp_path / "signed", key=b"secret").path
    unsigned = published(tmp_path / "unsigned").path
    open_bundle(signed)
    open_bundle(signed, key=b"secret")
    with pytest.raises(InvalidBundleError, match=f"{SIGNATURE}' is missing"):
        open_bundle(unsigned, key=b"secret")
    with pytest.raises(InvalidBundleError, match="not of this manifest and our key"):
        open_bundle(signed, key=b"another")


def test_a_link_is_not_published(tmp_path: Path) -> None:
    with staging_folder(tmp_path) as staging:
        (staging / "passwords").symlink_to("/etc/passwd")
        with pytest.raises(InvalidBundleError, match="'passwords' is a link"):
            publish(tmp_path, staging, manifest())
    assert list_bundles(tmp_path) == []


def rewrite(bundle: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    content = msgspec.json.decode((bundle / MANIFEST).read_bytes())
    change(content)
    (bundle / MANIFEST).write_bytes(msgspec.json.encode(content))
