"""What pip installs: the packages, the data files, the pinned versions, and the two commands."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement

from reflexarc.control.commands import train

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()


def toml_list(key: str) -> list[str]:
    """The strings of a list in pyproject.toml; Python 3.10 has no TOML reader."""
    match = re.search(rf"^{re.escape(key)} = \[(.*?)\]\n", PYPROJECT, re.MULTILINE | re.DOTALL)
    assert match, f"no list {key}"
    return re.findall(r'"([^"\n]+)"', match[1].replace("[fastrtps]", ""))


def test_packages_are_the_folders() -> None:
    folders = {
        ".".join(("reflexarc", *path.parent.relative_to(ROOT).parts))
        for top in ("control", "envs")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(toml_list("packages")) == folders | {"reflexarc.launch"}


def constraints(file: str = "constraints.txt") -> list[str]:
    lines = (ROOT / file).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_every_direct_requirement_is_pinned() -> None:
    pinned = {re.split(r"[=;@ ]", line)[0].lower().replace("_", "-") for line in constraints()}
    direct = [entry for key in ("dependencies", "ros", "train", "dev") for entry in toml_list(key)]
    names = {re.split(r"[<>=;\[ ]", entry)[0].lower().replace("_", "-") for entry in direct}
    assert names <= pinned


def test_both_releases_of_ros_have_the_same_packages() -> None:
    kilted, jazzy = (
        {re.split("==", entry)[0]: entry.partition(";")[0] for entry in toml_list(extra)}
        for extra in ("ros", "jazzy")
    )
    assert kilted.keys() == jazzy.keys()
    assert not set(kilted.values()) & set(jazzy.values())
    assert set(kilted.values()) <= set(constraints())
    assert set(jazzy.values()) <= set(constraints("constraints-jazzy.txt"))


def test_jazzy_pins_wheels_of_ros_and_nothing_else() -> None:
    pinned = [line.partition("==")[0] for line in constraints("constraints-jazzy.txt")]
    assert [name for name in pinned if not name.startswith("ros-")] == []
    assert len(pinned) == len(set(pinned))


def test_make_test_jazzy_finds_every_test_over_ros() -> None:
    match = re.search(r"^ROS_TESTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert match
    searched = match[1].split()
    marked = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"pytest\.mark\.ros\b", path.read_text())
    ]
    assert marked
    assert [path for path in marked if not path.startswith(tuple(searched))] == []


def test_train_looks_for_its_whole_extra() -> None:
    names = [re.split(r"[<>=;]", entry)[0].replace("-", "_") for entry in toml_list("train")]
    assert sorted(names) == sorted(train._NEEDED)


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_no_package_is_pinned_twice(python: str) -> None:
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    names = []
    for line in constraints():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            names.append(requirement.name)
    assert len(names) == len(set(names))


def test_torch_is_the_version_that_was_asked_for() -> None:
    assert "torch==2.13.0" in constraints()


ROS_PLACES = {
    "share/ament_index/resource_index/packages": ["launch/resource/reflexarc"],
    "share/reflexarc": ["package.xml"],
    "share/reflexarc/launch": ["launch/sim.launch.py", "launch/robot.launch.py"],
    "lib/reflexarc": ["launch/bin/module_node", "launch/bin/twin_node"],
}
"""Where ROS 2 looks below an installation's prefix, and what it has to find there."""


def test_wheel_has_everything_that_ships(source_copy: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    for_ros = {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}
    assert for_ros == {f"{place}/{Path(file).name}" for place, files in ROS_PLACES.items() for file in files}
    ships = {
        f"reflexarc/{path.relative_to(source_copy).as_posix()}"
        for name in ("control", "envs", "launch")
        for path in (source_copy / name).rglob("*")
        if path.is_file() and path.parent.name not in ("bin", "resource")
    }
    assert {name for name in names if ".data/data/" not in name} == ships


def test_ros_finds_the_installed_package(prefix: Path) -> None:
    for place, files in ROS_PLACES.items():
        for file in files:
            assert (prefix / place / Path(file).name).read_bytes() == (ROOT / file).read_bytes()
    for executable in (prefix / "lib" / "reflexarc").iterdir():
        assert os.access(executable, os.X_OK)
        assert executable.read_text().startswith("#!/usr/bin/env python3\n")


def test_package_xml_is_of_this_version_and_names_all_that_it_needs_of_ros() -> None:
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert package.findtext("name") == "reflexarc"
    assert f'version = "{package.findtext("version")}"' in PYPROJECT.splitlines()
    assert f'description = "{package.findtext("description")}"' in PYPROJECT.splitlines()
    assert package.findtext("export/build_type") == "ament_python"
    wheels = {entry.split("=")[0].removeprefix("ros-").replace("-", "_") for entry in toml_list("ros")}
    needed = {depend.text for depend in package.iter("exec_depend")}
    assert needed == wheels | {"tf2_msgs", "launch", "launch_ros", "ros2launch"}  # no wheels of these


def test_colcon_reads_the_name_and_the_license_that_pip_reads() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert f'name = "{setup["metadata"]["name"]}"' in PYPROJECT.splitlines()
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert setup["metadata"]["license"] == package.findtext("license")
    # colcon reads setup.cfg alone only where setup.py says nothing by itself.
    assert (ROOT / "setup.py").read_text().splitlines()[-1] == "setup()"


def test_ci_runs_what_people_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec make test"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(checkout: Path, python: Path) -> "subprocess.CompletedProcess[str]":
    """`make test` with an interpreter of ours."""
    return subprocess.run(
        ["make", "test", f"PYTHON={python}"], cwd=checkout, capture_output=True, text=True, check=False
    )


def test_make_says_which_python_fits(checkout: Path) -> None:
    python = checkout / "python3.9"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 1\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = make(checkout, python)
    assert done.returncode != 0
    assert f"reflexarc needs Python 3.10 to 3.13, and {python} is not." in done.stderr


def test_make_says_what_a_bare_debian_lacks(checkout: Path) -> None:
    python = checkout / "python3"
    python.write_text(f'#!/bin/sh\n[ "$1" = -m ] && [ "$2" = venv ] && exit 1\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = make(checkout, python)
    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_data_patterns_cover_flow_files() -> None:
    flows = sorted((ROOT / "launch" / "flows").glob("*"))
    assert flows
    for path in flows:
        assert path.suffix == ".yaml"
        assert isinstance(yaml.safe_load(path.read_text()), dict)
