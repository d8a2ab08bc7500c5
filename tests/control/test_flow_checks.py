import pytest

from reflexarc.control.errors import FlowError
from reflexarc.control.flow_checks import check_flow
from reflexarc.control.flow_file import FLOWS, known_flows, load_flow

TEXT = (FLOWS / "arm_catch.yaml").read_text(encoding="utf-8")
DETECTION = "detection: {source: perception.detection, unit: m, frame: base_link}"
LATENCY = "latency_s: 0.01\n    inputs:\n      color"
POSE = "geometry_msgs/PoseWithCovarianceStamped"


def renamed(name):
    """Edits that give the module `estimation` another name."""
    return (
        ("  estimation:\n", f"  {name}:\n"),
        ("source: estimation.", f"source: {name}."),
        (", estimation]", f", {name}]"),
    )


@pytest.mark.parametrize("name", known_flows())
def test_flows_that_ship_have_no_problem(name):
    assert check_flow(load_flow(name)) == []


@pytest.mark.parametrize(
    ("edits", "problems"),
    [
        pytest.param(
            [("source: estimation.odometry", "source: estimator.odometry")],
            [
                "odometry: {source => policy.odometry: source 'estimator.odometry': there is no 'estimator'. "
                "Did you mean 'estimation'?"
            ],
            id="unknown source node",
        ),
        pytest.param(
            [("color: plant.color", "color: plant.colour")],
            [
                "color: plant.colour => "
                "perception.color: source 'plant.colour': plant has no output 'colour'. Did you mean 'color'?"
            ],
            id="unknown source port",
        ),
        pytest.param(
            [("command: guard.command", "command: guard.comand")],
            [
                "command: => "
                "plant.command: source 'guard.comand': guard has no output 'comand'. Did you mean 'command'?"
            ],
            id="unknown source port of the plant",
        ),
        pytest.param(
            [("      camera_info: plant.camera_info\n", "")],
            ["inputs:\n      color => perception: input 'camera_info' (sensor_msgs/CameraInfo) is missing."],
            id="missing input",
        ),
        pytest.param(
            [("      detection: {type", "      found: {type"), ("perception.detection", "perception.found")],
            [
                f"outputs:\n      found => perception: output 'detection' ({POSE}) is missing.",
                "found: {type => perception: kind 'perception' has no output 'found'. Known: detection.",
            ],
            id="missing and unknown output",
        ),
        pytest.param(
            [("      depth: plant.depth\n", "      depth: plant.depth\n      depht: plant.depth\n")],
            ["depht: => perception: kind 'perception' has no input 'depht'. Did you mean 'depth'?"],
            id="unknown input",
        ),
        pytest.param(
            [("      commanded: {", "      comanded: {")],
            ["comanded: {type => guard: kind 'guard' has no output 'comanded'. Did you mean 'commanded'?"],
            id="unknown output",
        ),
        pytest.param(
            [
                (DETECTION, "detection: estimation.odometry"),
                ("joint_states]\n", "joint_states]\n    latency_s: 0.01\n"),
            ],
            [
                "detection: estimation.odometry => "
                "estimation.detection: type: estimation.odometry is 'nav_msgs/Odometry', "
                f"kind 'estimation' needs '{POSE}'."
            ],
            id="wrong type of an input",
        ),
        pytest.param(
            [("odometry: {type: nav_msgs/Odometry", f"odometry: {{type: {POSE}")],
            [
                "odometry: {type => "
                f"estimation.odometry: type: is declared '{POSE}', kind 'estimation' needs 'nav_msgs/Odometry'.",
                "odometry: {source => "
                f"policy.odometry: type: estimation.odometry is '{POSE}', kind 'policy' needs 'nav_msgs/Odometry'.",
            ],
            id="wrong type of an output",
        ),
        pytest.param(
            [("unit: rgb8", "unit: bgr8")],
            [
                "color: plant.color => "
                "perception.color: unit: plant.color is 'bgr8', kind 'perception' needs 'rgb8'."
            ],
            id="wrong unit",
        ),
        pytest.param(
            [("shape: [128, 80], unit", "shape: [128, 80, 1], unit")],
            [
                "depth: plant.depth => "
                "perception.depth: number of axes: plant.depth is '3', kind 'perception' needs '2'."
            ],
            id="wrong number of axes",
        ),
        pytest.param(
            [(DETECTION, DETECTION.replace("unit: m", "unit: cm"))],
            [
                "detection: {source => "
                "estimation.detection: unit: perception.detection is 'm', estimation expects 'cm'."
            ],
            id="expected unit",
        ),
        pytest.param(
            [(DETECTION, DETECTION.replace("base_link", "odom"))],
            [
                "detection: {source => "
                "estimation.detection: frame: perception.detection is 'base_link', estimation expects 'odom'."
            ],
            id="expected frame",
        ),
        pytest.param(
            [(DETECTION, DETECTION.replace("unit: m", "shape: [6]"))],
            [
                "detection: {source => "
                "estimation.detection: shape: perception.detection is [3], estimation expects [6]."
            ],
            id="expected shape",
        ),
        pytest.param(
            [(DETECTION, DETECTION.replace("unit: m", "type: nav_msgs/Odometry"))],
            [
                f"detection: {{source => estimation.detection: type: perception.detection is '{POSE}', "
                "estimation expects 'nav_msgs/Odometry'."
            ],
            id="expected type",
        ),
        pytest.param(
            [("unit: 32FC1, frame: camera_optical", "unit: 32FC1, frame: depth_optical")],
            [
                "trigger: [color => perception: inputs that are paired have different frames "
                "(color in 'camera_optical', depth in 'depth_optical'). Register them to one camera."
            ],
            id="frames of a pair",
        ),
        pytest.param(
            [("topic: guard/commanded", "topic: policy/command")],
            [
                "command: {type => policy.command: topic 'policy/command' has 2 publishers. Give each its own.",
                "commanded: {type => "
                "guard.commanded: topic 'policy/command' has 2 publishers. Give each its own.",
            ],
            id="topic of two",
        ),
        pytest.param(
            renamed("Estimation-1"),
            [
                "Estimation-1: => "
                "Estimation-1: a module's name is lower snake case, since a node is named by it."
            ],
            id="bad name",
        ),
        pytest.param(
            renamed("schätzung"),
            ["schätzung: => schätzung: a module's name is lower snake case, since a node is named by it."],
            id="name that ROS cannot take",
        ),
        pytest.param(
            renamed("plant"),
            ["plant:\n    kind => a module cannot be named 'plant': that is what closes the loop."],
            id="reserved name",
        ),
        pytest.param(
            renamed("twin"),
            [
                "twin:\n    kind => a module cannot be named 'twin': that is the node that simulates the plant."
            ],
            id="name of the twin",
        ),
        pytest.param(
            [("topic: joint_states", "topic: clock")],
            [
                "joint_states: {type => plant.joint_states: topic 'clock' is taken, by the time of a simulation. "
                "Give it another."
            ],
            id="reserved topic",
        ),
        pytest.param(
            [("topic: ball/detection", "topic: ball__seen")],
            [
                "detection: {type => "
                "perception.detection: topic 'ball__seen': ROS 2 allows no two underscores in a row."
            ],
            id="topic that ROS cannot take",
        ),
        pytest.param(
            [("shape: [128, 80], unit", "shape: [128, 0], unit")],
            ["depth: {type => plant.depth: shape is [128, 0]; each axis has at least one element."],
            id="empty shape",
        ),
        pytest.param(
            [("frame: base_link, rate_hz: 50}", "frame: base_link}")],
            [
                "detection: {type => perception.detection: key 'rate_hz' is missing; "
                "nobody would notice silence. Only a stream 'description' has none."
            ],
            id="stream without a rate",
        ),
        pytest.param(
            [(LATENCY, LATENCY.replace("0.01", "0.015"))],
            ["latency_s => perception: latency_s 0.015 is 1.5 ticks of 0.01 s; it has to be whole."],
            id="latency that is not whole",
        ),
        pytest.param(
            [(LATENCY, LATENCY.replace("0.01", ".inf"))],
            ["latency_s => modules.perception.latency_s is inf, which is too large."],
            id="infinite latency",
        ),
        pytest.param(
            [("deadline_s: 0.02", "deadline_s: 1.0e+300")],
            ["deadline_s => modules.guard.deadline_s is 1e+300, which is too large."],
            id="endless deadline",
        ),
        pytest.param(
            [("  rate_hz: 100\n  outputs", "  rate_hz: .inf\n  outputs")],
            ["rate_hz => plant.rate_hz is inf: a tick would be less than 1 ns."],
            id="infinite rate of the plant",
        ),
        pytest.param(
            [("frame: base_link, rate_hz: 50}", "frame: base_link, rate_hz: .inf}")],
            ["detection: {type => modules.perception.outputs.detection.rate_hz is inf, which is too large."],
            id="infinite rate of a port",
        ),
        pytest.param(
            [("unit: rad, rate_hz: 100", "unit: rad, rate_hz: 30")],
            [
                "joint_states: {type => plant.joint_states: 30 Hz is no whole part of the plant's 100 Hz.",
                "odometry: {type => estimation.odometry: 100 Hz cannot be: its trigger comes at 30 Hz.",
            ],
            id="rate that no tick divides",
        ),
        pytest.param(
            [("frame: base_link, rate_hz: 50}", "frame: base_link, rate_hz: 100}")],
            ["detection: {type => perception.detection: 100 Hz cannot be: its trigger comes at 50 Hz."],
            id="output faster than its trigger",
        ),
        pytest.param(
            [("trigger: [odometry]", "trigger: [odometri]")],
            ["trigger: [odometri] => policy: trigger 'odometri' is no input. Did you mean 'odometry'?"],
            id="trigger that is no input",
        ),
        pytest.param(
            [("trigger: [color, depth]", "trigger: [camera_info]")],
            [
                "trigger: [camera_info] => perception: trigger 'camera_info' comes once "
                "(plant.camera_info has no rate_hz). Give one that goes on."
            ],
            id="trigger that comes once",
        ),
        pytest.param(
            [("deadline_s: 0.02", "deadline_s: 0.01")],
            [
                "deadline_s => guard: deadline_s 0.01 passes at every step: its trigger comes every 0.01 s. "
                "Give it more than that."
            ],
            id="deadline that always passes",
        ),
        pytest.param(
            [("staleness_s: 0.08", "stalenes_s: 0.08")],
            [
                "parameters:\n      joints: * => guard: parameter 'staleness_s' is missing.",
                "stalenes_s => guard: unknown parameter 'stalenes_s'. Did you mean 'staleness_s'?",
            ],
            id="unknown parameter of the guard",
        ),
        pytest.param(
            [("tool_m: [0.0, 0.0, 0.08]", "tol_m: [0.0, 0.0, 0.08]")],
            [
                "tol_m => guard: unknown parameter 'workspace.kinematics.tol_m'. Did you mean 'tool_m'?",
            ],
            id="unknown parameter of the guard's kinematics",
        ),
        pytest.param(
            [("      joints: *joints\n", "      joints: [only]\n")],
            [
                "parameters:\n      joints: [only] => guard: parameters: "
                "position_low_rad has 6 entries for 1 joints."
            ],
            id="limits of other joints",
        ),
        pytest.param(
            [("topic: policy/command, shape: [6]", "topic: policy/command, shape: [5]")],
            ["command: policy.command => guard.command: shape is [5], and guard has 6 joints."],
            id="command with too few joints",
        ),
        pytest.param(
            [("      rate_hz: 100\n", "      rate_hz: 50\n")],
            [
                "rate_hz: 50\n      # => guard: parameter rate_hz is 50, and its trigger comes at 100 Hz: "
                "accelerations would be limited wrongly."
            ],
            id="pace of the guard",
        ),
        pytest.param(
            [
                (
                    "        high_m: [1.0, 0.9, 1.2]\n",
                    "        high_m: [1.0, 0.9, 1.2]\n    training: {trainer: sequence}\n",
                )
            ],
            ["training: {trainer: sequence}\n => guard: kind 'guard' is not trained. Leave 'training' out."],
            id="training of what is not trained",
        ),
        pytest.param(
            [("needs: [perception]}", "needs: [perceptoin]}")],
            [
                "training: {trainer: sequence => "
                "estimation: its training needs 'perceptoin', which is no module. "
                "Did you mean 'perception'?"
            ],
            id="unknown need",
        ),
        pytest.param(
            [("needs: [perception]}", "needs: [guard]}")],
            [
                "training: {trainer: sequence => "
                "estimation: its training needs 'guard', which is not trained: leave it out."
            ],
            id="need that is not trained",
        ),
        pytest.param(
            [("needs: [perception]}", "needs: [estimation]}")],
            [
                "modules: => estimation -> estimation: a cycle of training needs. "
                "One of them has to be trained without the other."
            ],
            id="cycle of training",
        ),
        pytest.param(
            [(DETECTION, "detection: estimation.odometry")],
            [
                "modules: => estimation -> estimation: a cycle without latency. "
                "Give one of them a latency_s of at least one tick.",
                "detection: estimation.odometry => "
                "estimation.detection: type: estimation.odometry is 'nav_msgs/Odometry', "
                f"kind 'estimation' needs '{POSE}'.",
            ],
            id="cycle without latency",
        ),
        pytest.param(
            [("command: guard.command", "command: policy.command")],
            [
                "command: => plant.command: commanded by policy.command; "
                "only a module of kind 'guard' may command the actuators."
            ],
            id="commanded by a policy",
        ),
        pytest.param(
            [("command: guard.command", "command: plant.joint_states")],
            [
                "command: => plant.command: commanded by plant.joint_states; "
                "only a module of kind 'guard' may command the actuators."
            ],
            id="commanded by itself",
        ),
        pytest.param(
            [("    deadline_s: 0.02\n    latency_s: 0.01\n", "    deadline_s: 0.02\n")],
            [
                "command: => plant.command: guard answers within its tick, as no machine can. "
                "Give it a latency_s of at least 0.01."
            ],
            id="guard without latency",
        ),
        pytest.param(
            [("  inputs:\n    command: guard.command\n", "")],
            ["plant: => plant: nothing commands it. Add the guard's command to its inputs."],
            id="plant without input",
        ),
    ],
)
def test_problems_are_said_with_file_and_line(tmp_path, edits, problems):
    """Each stands on the line where the text before its arrow stands first."""
    text = TEXT
    for old, new in edits:
        changed = text.replace(old, new)
        assert changed != text, f"{old!r} is not in the flow file any more"
        text = changed
    path = tmp_path / "flow.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FlowError) as refused:
        load_flow(str(path))
    parts = [problem.split(" => ") for problem in problems]
    expected = [f"{path}:{text.count(chr(10), 0, text.index(at)) + 1}: {message}" for at, message in parts]
    assert str(refused.value).splitlines() == expected
