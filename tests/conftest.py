"""What tests share: a ROS domain of their own, reproducible properties, and what this machine may lack."""

import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# A shell that starts tests in the background has them ignore Ctrl-C, and their children with them.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and no failure because a machine was busy.
settings.register_profile("reflexarc", derandomize=True, deadline=None)
settings.load_profile("reflexarc")

ROOT = Path(__file__).parents[1]

NINE_ESTIMATORS = Path(__file__).parent / "control" / "redundancy" / "nine_estimators.yaml"

_domains_given = 0


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A ROS domain that no other test has, on this host only, for this process and its children."""
    global _domains_given  # noqa: PLW0603 one count per process is the point
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    # Of two processes of pytest-xdist one takes every second; other sessions begin elsewhere. Up to 101 the ports lie
    # below those that Linux gives out by itself (docs.ros.org, The ROS_DOMAIN_ID).
    first = os.getpid() if worker is None else os.getppid() + int(worker.removeprefix("gw"))
    domain = 1 + (first + 2 * _domains_given) % 100
    _domains_given += 1
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return domain


@pytest.fixture(scope="session")
def three_estimators() -> str:
    """Text of a flow file in which one approach, `first`, has three replicas of the shipped estimator."""
    lines = NINE_ESTIMATORS.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if "second: {" not in line and "third: {" not in line)


@pytest.fixture(scope="session")
def source_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that ships, in a folder where setuptools can leave its build folder."""
    source = tmp_path_factory.mktemp("source")
    for name in ("control", "envs", "launch"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "setup.cfg", "package.xml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    return source


@pytest.fixture(scope="session")
def wheel(source_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip makes of it."""
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source_copy))
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def prefix(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has installed the wheel, for AMENT_PREFIX_PATH."""
    folder = tmp_path_factory.mktemp("prefix")
    # pip would otherwise take away the installation that runs here.
    _pip("install", "--ignore-installed", "--no-deps", "--no-index", "--prefix", str(folder), str(wheel))
    return folder


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run and say what would bring it back, and keep together what shares work."""
    for item in items:
        # Processes of pytest-xdist get whole files, and one of them all that need the flow that is trained first.
        is_trained = "trained" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("trained" if is_trained else item.nodeid.partition("::")[0]))
        if item.get_closest_marker("ros") and find_spec("rclpy") is None:
            item.add_marker(pytest.mark.skip(reason="needs ROS 2: pip install 'reflexarc[ros]'"))
        if item.get_closest_marker("gl") and (reason := _why_no_gl()):
            item.add_marker(pytest.mark.skip(reason=f"needs EGL: apt-get install libegl1 ({reason})"))


@cache
def _why_no_gl() -> str:
    """Why EGL cannot be had, empty if it can; asked in a process of its own, which a driver may crash."""
    code = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).close()"
    environment = {**os.environ, "MUJOCO_GL": "egl"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return (
        (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""
    )
