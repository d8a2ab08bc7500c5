"""Data: recordings that a training takes beside what it simulates, as `.npz` files of named arrays."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reflexarc.control.errors import TrainingError

__all__ = ["check_data", "data_path", "read_data"]

_FORMS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "supervised": {
        "color": ("uint8", "NHW3"),
        "depth": ("float32", "NHW"),
        "mask": ("bool", "NHW"),
        "center": ("float64", "N3"),
    },
    "sequence": {
        "seen": ("float64", "ET3"),
        "sigma": ("float64", "ET3"),
        "position": ("float64", "ET3"),
        "velocity": ("float64", "ET3"),
        "is_valid": ("bool", "ET"),
    },
}
"""Per trainer, its arrays: type (any float for a float), and shape, where a letter is a size and a digit is itself."""


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
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except Exception as error:  # a damaged archive makes zipfile, zlib and numpy raise nearly anything
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else "not an .npz of plain arrays"
        )
        raise TrainingError(f"{path}: data cannot be read ({reason}).") from None
    sizes: dict[str, int] = {}
    for name, (wanted, shape) in form.items():
        if name not in arrays:
            raise TrainingError(f"{path}: array '{name}' is missing. {module} takes {', '.join(form)}.")
        array = arrays[name]
        is_float = wanted.startswith("float")
        fits = array.dtype.kind == "f" if is_float else array.dtype == wanted
        fits &= array.ndim == len(shape)
        for axis, size in zip(shape, array.shape, strict=False):
            fits &= size == (int(axis) if axis.isdigit() else sizes.setdefault(axis, size))
        if not fits:
            expected = ", ".join(str(sizes.get(axis, axis)) for axis in shape)
            raise TrainingError(
                f"{path}: array '{name}' is {array.dtype} of shape {array.shape}, expected "
                f"{'float' if is_float else wanted} of shape ({expected})."
            )
    return {name: arrays[name].astype(wanted, copy=False) for name, (wanted, _) in form.items()}
