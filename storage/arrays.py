"""numpy files of a bundle, read without trust: no pickle, no surprises in type or shape, no zip bombs."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from core.errors import InvalidBundleError

Array = NDArray[Any]
# A shape with None where any length is right.
Shape = tuple[int | None, ...]

_BLOCK = 1 << 22


def read_npy(path: Path, dtype: str, shape: Shape) -> Array:
    """The array in a `.npy` file, memory-mapped read-only.

    Raises:
        InvalidBundleError: not such a file, another type or shape, or NaN or infinite values.
    """
    try:
        # Looked at as a plain array: each operation on numpy's own class for mapped ones costs microseconds more.
        array: Array = np.asarray(npy.open_memmap(path, mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise InvalidBundleError(f"{path.parent}: file {path.name!r} is not an array: {error}") from None
    _check(path, path.name, array, dtype, shape)
    return array


def read_npz(
    path: Path, wanted: Mapping[str, tuple[str, Shape]], may_be_nan: frozenset[str] = frozenset()
) -> dict[str, Array]:
    """The arrays of an `.npz` file: exactly the wanted names, each of its type and shape.

    Only stored (uncompressed) members are taken, so that nothing can unpack to more than the file's size.
    Values must be finite, except in the members of `may_be_nan`, where NaN means "none".

    Raises:
        InvalidBundleError: names the file and the member.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if members.keys() != wanted.keys():
                raise InvalidBundleError(
                    f"{path.parent}: file {path.name!r} has {sorted(members)}, wanted are {sorted(wanted)}"
                )
            for member in members.values():
                _check_member(path, archive, member)
            arrays = {name: _read_member(archive, member) for name, member in members.items()}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InvalidBundleError(f"{path.parent}: file {path.name!r} is not an npz: {error}") from None
    for name, (dtype, shape) in wanted.items():
        _check(path, f"{path.name}/{name}", arrays[name], dtype, shape, finite=name not in may_be_nan)
    return arrays


def _check_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse what would unpack to more than its size on disk, before anything is allocated for it."""
    named = f"{path.parent}: file {path.name!r} has the"
    if member.compress_type != zipfile.ZIP_STORED:
        raise InvalidBundleError(f"{named} compressed member {member.filename!r}")
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        promised = file.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject or promised != member.file_size:
        raise InvalidBundleError(f"{named} member {member.filename!r}, which does not hold what it promises")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    with archive.open(member) as file:
        array: Array = npy.read_array(file, allow_pickle=False)
    return array


def _check(path: Path, name: str, array: Array, dtype: str, shape: Shape, finite: bool = True) -> None:
    fits = len(array.shape) == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits:
        raise InvalidBundleError(
            f"{path.parent}: file {name!r} is {array.dtype}{list(array.shape)}, wanted is {dtype}"
            f"{['any' if n is None else n for n in shape]}"
        )
    if finite and array.dtype.kind == "f" and not all_finite(array):
        raise InvalidBundleError(f"{path.parent}: file {name!r} has NaN or infinite values")


def all_finite(array: Array) -> bool:
    """Whether no value is NaN or infinite; in blocks, so that a mapped array is not copied whole."""
    flat = array.reshape(-1)
    return all(bool(np.isfinite(flat[i : i + _BLOCK]).all()) for i in range(0, flat.size, _BLOCK))
