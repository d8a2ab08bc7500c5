"""Use cases as training data: what the others agreed on is the label for the approach that did not."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reflexarc.control.errors import TrainingError
from reflexarc.control.flow import Flow
from reflexarc.control.frames import matrix_from_quaternion
from reflexarc.control.modules.perception import CameraPose, camera_pose
from reflexarc.control.modules.use_cases import AGREED
from reflexarc.control.redundancy.members import VOTER
from reflexarc.control.redundancy.use_case_store import read_case, stored_cases
from reflexarc.control.values import FloatArray

__all__ = ["use_cases_as_data"]

_BALL_RADIUS_M = 0.035
_COUNTS = 3
"""How often each image counts: a window is some tenths of a second in which the approach was wrong, beside thousands of
images in which it was right. Counted once, a region that it had never seen fell from 73 % dissent to 24 % only
(`examples/close_the_loop.py`)."""
_SURFACE_M = 0.15
"""So far from the ball's centre a pixel's depth may be, for the pixel to be the ball's."""

_Arrays = dict[str, npt.NDArray[Any]]
_Case = Mapping[str, npt.NDArray[Any]]


def use_cases_as_data(folder: Path, flow: Flow, module: str) -> _Arrays:
    """The use cases of one approach, in the form in which its trainer takes recorded data.

    Args:
        folder: Of the use cases.
        flow: The flow.
        module: The approach's module that is trained.

    Raises:
        ReflexarcError: There are none for it, or one cannot be read.
    """
    job, approach = _place(flow, module)
    cases = [case.path for case in stored_cases(folder) if (case.job, case.approach) == (job, approach)]
    if not cases:
        raise TrainingError(
            f"{folder}: no use cases of {job}, approach {approach}. `reflexarc usecases {folder}` lists them."
        )
    spec = flow.modules[module]
    assert spec.training is not None
    if spec.training.trainer == "supervised":
        pose = camera_pose(spec.parameters)
        parts = [_images(read_case(path), pose) for path in cases] * _COUNTS
    elif spec.training.trainer == "sequence":
        parts = [_episode(read_case(path), flow.tick_ns) for path in cases]
        longest = max(part["seen"].shape[1] for part in parts)
        parts = [_lengthened(part, longest) for part in parts]
    else:
        raise TrainingError(f"{module}: trainer '{spec.training.trainer}' takes no use cases.")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _place(flow: Flow, module: str) -> tuple[str, str]:
    """Job and approach of a module."""
    for job, spec in flow.modules.items():
        for port, source in spec.inputs.items() if spec.kind == VOTER else ():
            if source.node == module:
                return job, port.rpartition("_")[0]
    raise TrainingError(
        f"{module}: does its job alone, so there are no use cases of it. Name a file with --data."
    )


def _images(case: _Case, pose: CameraPose) -> _Arrays:
    """Labelled images: where the others saw the ball, its pixels are those near it in the image and in depth."""
    rows = [
        (case["color/data"][c], case["depth/data"][d], *_label(case, a, case["depth/data"][d], pose))
        for c, d, a in _common(case, "color", "depth", AGREED)
    ]
    if not rows:
        height, width = case["depth/data"].shape[1:]
        empty = np.zeros((0, height, width))
        return {
            "color": np.zeros((0, height, width, 3), np.uint8),
            "depth": empty.astype(np.float32),
            "mask": empty.astype(bool),
            "center": np.zeros((0, 3)),
        }
    color, depth, mask, center = (np.stack(column) for column in zip(*rows, strict=True))
    return {"color": color, "depth": depth.astype(np.float32), "mask": mask, "center": center}


def _label(
    case: _Case, row: int, depth: npt.NDArray[Any], pose: CameraPose
) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Which pixels show the ball, and where its centre is in the optical frame."""
    if case[f"{AGREED}/covariance"][row, 0, 0] < 0:
        return np.zeros(depth.shape, dtype=bool), np.zeros(3)
    intrinsics = case["camera_info/intrinsics"][-1]
    base_from_optical = matrix_from_quaternion(np.array(pose.orientation_xyzw))
    center = base_from_optical.T @ (case[f"{AGREED}/position"][row] - np.array(pose.position))
    column, line = (intrinsics @ center)[:2] / center[2]
    lines, columns = np.mgrid[0 : depth.shape[0], 0 : depth.shape[1]]
    radius = max(intrinsics[0, 0] * _BALL_RADIUS_M / center[2], 0.7)
    is_near = (columns - column) ** 2 + (lines - line) ** 2 <= radius**2
    far = depth.astype(np.float64)
    is_surface = ~(far > 0) | (np.abs(far - center[2]) < _SURFACE_M)
    return is_near & is_surface, center


def _episode(case: _Case, tick_ns: int) -> _Arrays:
    """One recorded episode: detections at the ticks of their frames, and what the others took the ball to do."""
    stamps = case[f"{AGREED}/stamp_ns"]
    first, ticks = int(stamps[0]), int((stamps[-1] - stamps[0]) // tick_ns) + 1
    seen, sigma = np.full((1, ticks, 3), np.nan), np.ones((1, ticks, 3))
    position, velocity = np.zeros((2, 1, ticks, 3))
    is_valid = np.zeros((1, ticks), dtype=bool)
    at = (stamps - first) // tick_ns
    known = case[f"{AGREED}/pose_covariance"][:, 0, 0] >= 0
    position[0, at[known]] = case[f"{AGREED}/position"][known]
    velocity[0, at[known]] = case[f"{AGREED}/linear_velocity"][known]
    is_valid[0, at[known]] = True
    if "detection/stamp_ns" in case:
        at = (case["detection/stamp_ns"] - first) // tick_ns
        covariance = case["detection/covariance"]
        taken = (at >= 0) & (at < ticks) & (covariance[:, 0, 0] >= 0)
        seen[0, at[taken]] = case["detection/position"][taken]
        diagonal = np.diagonal(covariance, axis1=1, axis2=2)[taken, :3]
        sigma[0, at[taken]] = np.sqrt(diagonal)
    return {"seen": seen, "sigma": sigma, "position": position, "velocity": velocity, "is_valid": is_valid}


def _lengthened(part: _Arrays, ticks: int) -> _Arrays:
    """An episode with ticks added at its end, in which nothing is seen and that do not count."""
    missing = ticks - part["seen"].shape[1]
    longer = {n: np.pad(a, [(0, 0), (0, missing), *[(0, 0)] * (a.ndim - 2)]) for n, a in part.items()}
    longer["seen"][:, ticks - missing :] = np.nan
    return longer


def _common(case: _Case, *ports: str) -> Iterator[tuple[int, ...]]:
    """Rows of some ports that have one stamp."""
    if not all(f"{port}/stamp_ns" in case for port in ports):
        return
    rows = [{int(stamp): row for row, stamp in enumerate(case[f"{port}/stamp_ns"])} for port in ports]
    for stamp in sorted(set.intersection(*(set(found) for found in rows))):
        yield tuple(found[stamp] for found in rows)
