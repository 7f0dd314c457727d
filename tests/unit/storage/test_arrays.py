"""Arrays of a bundle are what they must be, or are refused by name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidBundleError
from storage.arrays import read_npy, read_npz


def test_a_proper_array_is_mapped_and_read_only(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2), np.float32))
    array = read_npy(tmp_path / "a.npy", "<f4", (None, 2))
    assert isinstance(array.base, np.memmap)
    assert not array.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.ones((3, 3), np.float32),
        np.ones((3, 2), np.float64),
        np.ones(6, np.float32),
        np.full((3, 2), np.nan, np.float32),
        np.full((3, 2), np.inf, np.float32),
        np.array([[object(), None]]),
    ],
    ids=["width", "type", "shape", "nan", "inf", "objects"],
)
def test_another_array_is_refused_by_name(tmp_path: Path, array: np.ndarray) -> None:  # type: ignore[type-arg]
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(InvalidBundleError, match=r"'a\.npy'"):
        read_npy(tmp_path / "a.npy", "<f4", (3, 2))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not an array at all", b"PK\x03\x04"])
def test_no_array_at_all_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InvalidBundleError, match=r"'a\.npy'"):
        read_npy(tmp_path / "a.npy", "<f4", (None,))
    with pytest.raises(InvalidBundleError, match=r"'a\.npz'"):
        read_npz(tmp_path / "a.npz", {"x": ("<f4", (None,))})


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(2_000_000, np.float32))
    assert (tmp_path / "a.npz").stat().st_size < 20_000
    with pytest.raises(InvalidBundleError, match=r"compressed member 'x\.npy'"):
        read_npz(tmp_path / "a.npz", {"x": ("<f4", (None,))})


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(1000, np.float32))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidBundleError, match=r"'a\.npz'"):
        read_npz(tmp_path / "a.npz", {"x": ("<f4", (None,))})


def test_an_npz_has_exactly_the_wanted_members(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(2, np.float32), y=np.ones(2, np.float32))
    with pytest.raises(InvalidBundleError, match="wanted are"):
        read_npz(tmp_path / "a.npz", {"x": ("<f4", (None,))})


def test_a_member_of_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"no": "thanks"}]))
    with pytest.raises(InvalidBundleError, match=r"'a\.npz'"):
        read_npz(tmp_path / "a.npz", {"x": ("<f4", (None,))})


def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """An npy header may promise a terabyte that is not there."""
    header = (
        b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (250000000000,), }"
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header.ljust(127) + b"\n")
    with pytest.raises(InvalidBundleError, match=r"'a\.npz'"):
        read_npz(tmp_path / "a.npz", {"x": ("<f4", (None,))})


def test_nan_is_let_through_only_where_it_means_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([np.nan], np.float32))
    wanted = {"x": ("<f4", (None,))}
    assert np.isnan(read_npz(tmp_path / "a.npz", wanted, frozenset({"x"}))["x"]).all()
    with pytest.raises(InvalidBundleError, match="NaN"):
        read_npz(tmp_path / "a.npz", wanted)
