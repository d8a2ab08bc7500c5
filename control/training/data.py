"""Data: recordings that a training takes beside what it simulates, as `.npz` files of named arrays."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reflexarc.control.errors import TrainingError

__all__ = ["check_data", "data_path", "read_data"]

_FORMS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "supervised": {
        "color": ("u", "NHW3"),
        "depth": ("f", "NHW"),
        "mask": ("b", "NHW"),
        "center": ("f", "N3"),
    },
    "sequence": {
        "seen": ("f", "ET3"),
        "sigma": ("f", "ET3"),
        "position": ("f", "ET3"),
        "velocity": ("f", "ET3"),
        "is_valid": ("b", "ET"),
    },
}
"""Per trainer, its arrays: kind of number, and shape, where a letter is a size and a digit is itself."""


def data_path(store: Path, digest: str) -> Path:
    """Where the store keeps data of a digest, so that a training can be repeated."""
    return store / "data" / f"{digest[:12]}.npz"


def check_data(module: str, trainer: str, path: Path) -> None:
    """Make sure that a trainer can take a file.

    Raises:
        TrainingError: It cannot; the message names the file, the array, and what was expected.
    """
    read_data(module, trainer, path)


def read_data(module: str, trainer: str, path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a file, checked.

    Raises:
        TrainingError: It cannot be read, or an array is missing or of another kind or shape.
    """
    if trainer not in _FORMS:
        raise TrainingError(f"{module}: trainer '{trainer}' takes no recorded data. Leave out --data.")
    form = _FORMS[trainer]
    try:
        with np.load(path, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else "not an .npz of plain arrays"
        )
        raise TrainingError(f"{path}: data cannot be read ({reason}).") from None
    sizes: dict[str, int] = {}
    for name, (kind, shape) in form.items():
        if name not in arrays:
            raise TrainingError(f"{path}: array '{name}' is missing. {module} takes {', '.join(form)}.")
        array = arrays[name]
        fits = array.dtype.kind == kind and array.ndim == len(shape)
        for axis, size in zip(shape, array.shape, strict=False):
            fits &= size == (int(axis) if axis.isdigit() else sizes.setdefault(axis, size))
        if not fits:
            expected = ", ".join(str(sizes.get(axis, axis)) for axis in shape)
            raise TrainingError(
                f"{path}: array '{name}' is {array.dtype} of shape {array.shape}, expected "
                f"{dict(u='uint8', f='float', b='bool')[kind]} of shape ({expected})."
            )
    return {name: arrays[name] for name in form}
