"""`reflexarc doctor`: what of ROS 2, GL and torch is there, what is missing, and how to get it."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reflexarc.control.artifacts.store import resolve_artifacts
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.flow_file import FLOWS, known_flows, load_flow

__all__ = ["Finding", "findings", "run_doctor"]

State = Literal["ok", "missing", "optional"]
"""Missing is what `reflexarc sim` cannot do without; optional is what something else needs."""

_STYLE = {"ok": "[green]ok[/]", "missing": "[red]missing[/]", "optional": "[yellow]not there[/]"}

_PROBE_WITHIN_S = 30.0
"""A cold import of rclpy or a first OpenGL context from a slow disk takes some seconds."""

_ROS = """
import rclpy
from rclpy.utilities import get_rmw_implementation_identifier as rmw
print(rmw())
"""

_GL = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><light pos="0 0 3"/></worldbody></mujoco>')
with mujoco.Renderer(model, 8, 8) as renderer:
    renderer.update_scene(mujoco.MjData(model))
    renderer.render()
"""

_PRIORITY = """
from reflexarc.control.nodes.scheduling import go_first, goes_first
go_first()
assert goes_first()
"""

_DISTRIBUTIONS = {"7": "jazzy", "9": "kilted"}
"""By the major version of rclpy, where ROS_DISTRO does not say it (REP 2000)."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Args:
        name: What.
        state: Whether it is there, and whether that matters to `reflexarc sim`.
        found: What is there, or why it is not.
        remedy: What to do; empty where it is there.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def run_doctor(*, as_json: bool) -> bool:
    """Print all findings.

    Args:
        as_json: As data instead of a table.

    Returns:
        Whether everything that `reflexarc sim` needs is there.
    """
    found = findings()
    is_ready = all(finding.state != "missing" for finding in found)
    if as_json:
        typer.echo(
            json.dumps({"ready": is_ready, "findings": [asdict(finding) for finding in found]}, indent=1)
        )
        return is_ready
    table = Table()
    for column in ("what", "state", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in found:
        table.add_row(finding.name, _STYLE[finding.state], escape(finding.found), escape(finding.remedy))
    console = Console()
    console.print(table)
    console.print(
        "Ready for `reflexarc sim`." if is_ready else "Not ready for `reflexarc sim`: see 'missing'."
    )
    return is_ready


def findings() -> list[Finding]:
    """All findings, what `sim` needs first."""
    return [
        _python(),
        _ros(),
        _library("mujoco", "missing", "pip install reflexarc"),
        _library("onnxruntime", "missing", "pip install reflexarc"),
        *_flows(),
        _log_folder(),
        _cores(),
        _priority(),
        _gl(),
        _library("torch", "optional", "to train: pip install 'reflexarc[train]'"),
        _library("stable_baselines3", "optional", "to train: pip install 'reflexarc[train]'"),
    ]


def _python() -> Finding:
    here = platform.python_version()
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", "ok", here)
    return Finding("Python", "missing", here, "use Python 3.10 to 3.13")


def _ros() -> Finding:
    problem, output = _probe(_ROS)
    if problem:
        has_wheels = sys.platform == "linux" and platform.machine() == "x86_64"
        return Finding(
            "ROS 2",
            "missing",
            problem,
            "pip install 'reflexarc[ros]', or source your ROS 2"
            if has_wheels
            else "install ROS 2 (docs.ros.org) and source it: wheels exist for Linux on x86-64 only",
        )
    try:
        number = version("ros-rclpy")
    except PackageNotFoundError:
        number = version("rclpy")
    distribution = os.environ.get("ROS_DISTRO") or _DISTRIBUTIONS.get(
        number.split(".")[0], "unknown distribution"
    )
    return Finding("ROS 2", "ok", f"{distribution}, rclpy {number}, {output}")


def _library(name: str, otherwise: State, remedy: str) -> Finding:
    if otherwise == "optional":  # torch takes seconds to import, and only trainings need it
        try:
            return Finding(name, "ok", version(name))
        except PackageNotFoundError:
            return Finding(name, otherwise, "not installed", remedy)
    try:
        import_module(name)
    except (ImportError, OSError) as error:
        return Finding(name, otherwise, str(error), remedy)
    return Finding(name, "ok", version(name))


def _flows() -> Iterator[Finding]:
    names = known_flows()
    if not names:
        yield Finding("flows", "missing", f"none in {FLOWS}", "install reflexarc again")
    for name in names:
        try:
            artifacts = resolve_artifacts(load_flow(name))
        except ReflexarcError as error:
            yield Finding(f"flow {name}", "missing", "cannot run", str(error))
            continue
        digests = ", ".join(f"{module} {artifact.digest[:8]}" for module, artifact in artifacts.items())
        yield Finding(f"flow {name}", "ok", f"artifacts verified: {digests}")


def _log_folder() -> Finding:
    try:
        with tempfile.NamedTemporaryFile(prefix="reflexarc-"):
            return Finding("ROS logs", "ok", f"go below {tempfile.gettempdir()}")
    except OSError as error:
        return Finding(
            "ROS logs", "missing", f"no folder for them ({error.strerror})", "set TMPDIR to one you may write"
        )


def _cores() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    if count >= 2:
        return Finding("cores", "ok", str(count))
    return Finding("cores", "optional", str(count), "real time was measured on two; lock step works on one")


def _priority() -> Finding:
    problem, _ = _probe(_PRIORITY)
    if not problem:
        return Finding("priority", "ok", "short steps can go first in real time")
    return Finding(
        "priority",
        "optional",
        "no higher priority is permitted, so in real time short steps wait for long ones",
        "add the line '* - nice -15' to /etc/security/limits.conf, and log in again",
    )


def _gl() -> Finding:
    problem, _ = _probe(_GL, MUJOCO_GL=os.environ.get("MUJOCO_GL", "egl"))
    if not problem:
        return Finding("GL", "ok", "EGL renders")
    return Finding(
        "GL",
        "optional",
        problem,
        "for the gl camera: apt-get install libegl1 libgl1-mesa-dri; raycast needs none",
    )


def _probe(code: str, **environment: str) -> tuple[str, str]:
    """Run code in a process of its own, since a broken driver may take the process with it.

    Returns:
        Why it failed, empty if it did not, and what it printed.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=_PROBE_WITHIN_S,
            check=False,
            env={**os.environ, **environment},
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {_PROBE_WITHIN_S:.0f} s", ""
    if done.returncode == 0:
        return "", done.stdout.strip()
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]
    return lines[-1] if lines else f"exit code {done.returncode}", ""
