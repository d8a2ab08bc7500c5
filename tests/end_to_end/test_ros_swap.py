"""Modules of a shipped flow are swapped while it runs, from another terminal, as users do it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `ros_support`
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

import ros_support  # noqa: F401 imports what of ROS 2 warns on import
from fifty_swaps import failing_policy, sibling
from terminal import Terminal

from reflexarc.control.artifacts.artifact import write_artifact
from reflexarc.control.artifacts.store import (
    read_lock,
    resolve_artifacts,
    write_lock,
)
from reflexarc.control.flow_file import load_flow

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    """A terminal beside that in which arm_catch runs in real time."""
    terminal = Terminal(tmp_path_factory.mktemp("swap"))
    terminal.artifacts = resolve_artifacts(load_flow("arm_catch"), terminal.store)
    with terminal.flow("arm_catch"):
        yield terminal


@pytest.mark.parametrize("module", ["perception", "estimation", "policy"])
def test_a_module_is_swapped_to_what_the_lock_pins_now(terminal, module):
    newcomer = sibling(terminal.store, terminal.artifacts[module])
    lock = read_lock(terminal.store, "arm_catch")
    write_lock(terminal.store, "arm_catch", {**lock, module: newcomer.digest})
    code, output, errors = terminal.run("swap", module)
    assert (code, errors) == (0, "")
    assert output.splitlines()[-1] == f"{module}: {newcomer.digest[:12]} runs"
    assert [line.split()[2] for line in output.splitlines()] == ["is", "warms", "has", "runs"]
    (figures,) = terminal.figures(module)
    assert (figures["artifact"], figures["swap"]) == (newcomer.digest, "done")


def test_a_network_that_gives_nan_is_rolled_back_and_nothing_of_it_goes_out(terminal):
    pytest.importorskip("onnx", reason="needs onnx: pip install 'reflexarc[train]'")
    (before,) = terminal.figures("policy")
    bad = failing_policy(terminal.store, terminal.artifacts["policy"])
    code, output, errors = terminal.run("swap", "policy", bad.digest[:12])
    reason = "rolled back: command: network output not finite"
    assert (code, errors) == (1, f"reflexarc: policy: swap to {bad.digest[:12]} {reason}\n")
    assert output.splitlines()[-1] == f"policy: {bad.digest[:12]} has taken over and is watched"
    policy, guard, twin = terminal.figures("policy", "guard", "twin")
    assert (policy["artifact"], policy["swap"]) == (before["artifact"], reason)
    assert policy[f"swap {reason}"] == "1"
    # Not the count of unsafe commands: on a machine with other work there are some without any swap.
    assert not [figure for figure in (*guard, *twin) if "finite" in figure]


def test_a_perception_that_leaves_what_the_estimator_was_trained_under_is_refused(terminal):
    shipped = terminal.artifacts["perception"]
    files = {name: (shipped.folder / name).read_bytes() for name in shipped.manifest.files}
    sigma = [[first + 5.0, *rest] for first, *rest in shipped.manifest.constants["sigma_coefficients"]]
    constants = {**shipped.manifest.constants, "sigma_coefficients": sigma}
    unsure = write_artifact(
        terminal.store, shipped.manifest.model_copy(update={"constants": constants}), files
    )
    code, _, errors = terminal.run("swap", "perception", unsure.digest)
    reason = "refused: detection: sigma_m is not as estimation was trained under"
    assert (code, errors) == (1, f"reflexarc: perception: swap to {unsure.digest[:12]} {reason}\n")


@pytest.mark.parametrize(
    ("digest", "complaint"),
    [
        ("altered", "model.onnx: altered since it was trained"),
        ("0" * 64, "reflexarc: policy: no artifact policy-000000000000 in "),
    ],
)
def test_what_cannot_be_swapped_is_one_line(terminal, digest, complaint):
    if digest == "altered":
        shipped = terminal.artifacts["policy"]
        altered = write_artifact(
            terminal.store, shipped.manifest.model_copy(update={"seed": 3}), {"model.onnx": shipped.model}
        )
        (altered.folder / "model.onnx").write_bytes(shipped.model + b" ")
        digest = altered.digest
    code, output, errors = terminal.run("swap", "policy", digest)
    assert (code, output) == (1, "")
    assert complaint in errors
    assert errors.count("\n") == 1
