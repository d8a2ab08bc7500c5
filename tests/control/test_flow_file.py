from pathlib import Path

import pytest

from reflexarc.control.errors import FlowError
from reflexarc.control.flow_file import FLOWS, known_flows, load_flow
from reflexarc.control.ports import MessageType
from reflexarc.control.training.digests import config_digest

TEXT = (FLOWS / "arm_catch.yaml").read_text(encoding="utf-8")
LATENCY = "latency_s: 0.01\n    inputs:\n      color"
SEQUENCE = "training: {trainer: sequence, needs: [perception]}"
CAMERA_INFO = (
    "{type: sensor_msgs/CameraInfo, topic: camera/color/camera_info, "
    "frame: camera_optical, stream: description}"
)


def edited(*edits):
    text = TEXT
    for old, new in edits:
        changed = text.replace(old, new)
        assert changed != text, f"{old!r} is not in the flow file any more"
        text = changed
    return text


def said(text, *problems):
    """What is to be said of a text: each problem after the line where the text before its arrow stands first."""
    parts = [problem.split(" => ") for problem in problems]
    return [f"{text.count(chr(10), 0, text.index(at)) + 1}: {message}" for at, message in parts]


def problems(path, content):
    """What is said of a file with this content, line by line, without the file's name."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FlowError) as refused:
        load_flow(str(path))
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


@pytest.mark.parametrize("name", known_flows())
def test_flows_that_ship_can_run(name):
    flow = load_flow(name)
    assert flow.name == name
    assert flow.order[-1] == "guard"


def test_a_flow_by_its_path(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(TEXT)
    assert load_flow(str(path)) == load_flow("arm_catch")


def test_trained_modules_are_named_by_themselves_in_the_lock_unless_the_file_says_more(tmp_path):
    path = tmp_path / "flow.yaml"
    path.write_text(edited(("kind: policy", "kind: policy\n    artifact: other")))
    artifacts = {name: spec.artifact for name, spec in load_flow(str(path)).modules.items()}
    assert artifacts == {
        "perception": "perception",
        "estimation": "estimation",
        "policy": "other",
        "guard": None,
    }


def test_what_a_reader_expects_is_kept():
    source = load_flow("arm_catch").modules["policy"].inputs["odometry"]
    assert str(source) == "estimation.odometry"
    assert source.expect == {"unit": "m", "frame": "base_link"}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param(
            "flow: arm_catch",
            "flow: arm_catch\nmodule: {}",
            "module: => flow file: unknown key 'module'. Did you mean 'modules'?",
            id="top",
        ),
        pytest.param(
            "flow: arm_catch",
            "flow: arm_catch\n1: {}",
            "1: {} => flow file: unknown key '1'. Known: deployment, flow, modules, plant.",
            id="top, no text",
        ),
        pytest.param(
            "  rate_hz: 100\n  outputs",
            "  rate_hz: 100\n  output: {}\n  outputs",
            "output: => plant: unknown key 'output'. Did you mean 'outputs'?",
            id="plant",
        ),
        pytest.param(
            "rate_hz: 50, stream: sensor}\n    camera_info",
            "rate: 50, stream: sensor}\n    camera_info",
            "depth: {type => plant.depth: unknown key 'rate'. Did you mean 'rate_hz'?",
            id="port",
        ),
        pytest.param(
            "deadline_s:",
            "deadline:",
            "deadline: => modules.guard: unknown key 'deadline'. Did you mean 'deadline_s'?",
            id="module",
        ),
        pytest.param(
            "{source: estimation.odometry, unit: m,",
            "{source: estimation.odometry, units: m,",
            "odometry: {source => modules.policy.inputs.odometry: unknown key 'units'. Did you mean 'unit'?",
            id="source",
        ),
        pytest.param(
            SEQUENCE,
            "training: {trainer: sequence, need: [perception]}",
            "training: {trainer: sequence => "
            "modules.estimation.training: unknown key 'need'. Did you mean 'needs'?",
            id="training",
        ),
        pytest.param(
            "flow: arm_catch",
            'flow: arm_catch\n"two\\nlines": {}',
            "\"two => flow file: unknown key 'two lines'. Known: deployment, flow, modules, plant.",
            id="of more than one line",
        ),
    ],
)
def test_unknown_keys_name_the_nearest(tmp_path, old, new, problem):
    text = edited((old, new))
    assert problems(tmp_path / "flow.yaml", text) == said(text, problem)


@pytest.mark.parametrize(
    ("old", "problem"),
    [
        ("flow: arm_catch\n", "# => flow file: key 'flow' is missing."),
        ("  env: reflexarc/ArmCatch-v0\n", "plant:\n => plant: key 'env' is missing."),
        ("    kind: policy\n", "policy:\n => policy: key 'kind' is missing."),
        ("    trigger: [odometry]\n", "policy:\n => policy: key 'trigger' is missing."),
        ("topic: ball/odometry, ", "odometry: {type => estimation.odometry: key 'topic' is missing."),
        ("trainer: sequence, ", "training: {needs => estimation: key 'trainer' is missing."),
        (
            "source: estimation.odometry, ",
            "odometry: {unit => policy.odometry: source None, expected node.port, as in plant.color.",
        ),
    ],
)
def test_missing_keys(tmp_path, old, problem):
    text = edited((old, ""))
    assert problems(tmp_path / "flow.yaml", text) == said(text, problem)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "flow: arm_catch",
            "flow: Arm-Catch",
            "flow: => flow is 'Arm-Catch', expected a name in lower snake case, as in arm_catch.",
        ),
        (
            "flow: arm_catch",
            "flow: 7",
            "flow: => flow is 7, expected a name in lower snake case, as in arm_catch.",
        ),
        (
            "deadline_s: 0.02",
            "deadline_s: soon",
            "deadline_s => guard: deadline_s is 'soon': "
            "Input should be a valid number, unable to parse string as a number.",
        ),
        (
            "  rate_hz: 100\n  outputs",
            "  rate_hz: -100\n  outputs",
            "rate_hz => plant: rate_hz is -100: Input should be greater than 0.",
        ),
        (
            LATENCY,
            LATENCY.replace("0.01", "-0.01"),
            "latency_s => perception: latency_s is -0.01: Input should be greater than or equal to 0.",
        ),
        (
            LATENCY,
            LATENCY.replace("0.01", ".nan"),
            "latency_s => perception: latency_s is nan: Input should be greater than or equal to 0.",
        ),
        (
            "shape: [128, 80], unit",
            "shape: [128, wide], unit",
            "depth: {type => plant.depth: shape.1 is 'wide': "
            "Input should be a valid integer, unable to parse string as an integer.",
        ),
        (
            "topic: ball/odometry",
            "topic: /ball/odometry",
            "odometry: {type => estimation.odometry: topic is '/ball/odometry': "
            "String should match pattern '^[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*$'.",
        ),
        (
            "stream: description",
            "stream: latched",
            "camera_info: {type => plant.camera_info: stream is 'latched': "
            "Input should be 'sensor', 'state', 'command' or 'description'.",
        ),
        (
            "trainer: sequence",
            "trainer: sequential",
            "training: {trainer: sequential => estimation: trainer is 'sequential': "
            "Input should be 'supervised', 'sequence' or 'reinforcement'.",
        ),
        (
            "trigger: [odometry]",
            "trigger: []",
            "trigger: [] => policy: trigger is []: Tuple should have at least 1 item after validation, not 0.",
        ),
        (
            "kind: policy",
            "kind: [policy]",
            "kind: [policy] => policy: kind is ['policy']: Input should be a valid string.",
        ),
        (CAMERA_INFO, "camera/info", "camera_info: => plant.camera_info: 'camera/info', expected a mapping."),
        (
            "inputs:\n    command: guard.command",
            "inputs: [command]",
            "inputs: [ => plant.inputs: ['command'], expected a mapping.",
        ),
        (
            "color: plant.color",
            "color: color",
            "color: color => perception.color: source 'color', expected node.port, as in plant.color.",
        ),
        (
            "color: plant.color",
            "color: [plant, color]",
            "color: [ => perception.color: source ['plant', 'color'], expected node.port, as in plant.color.",
        ),
    ],
)
def test_values_of_a_wrong_type(tmp_path, old, new, problem):
    text = edited((old, new))
    assert problems(tmp_path / "flow.yaml", text) == said(text, problem)


def test_an_unknown_message_type_names_those_there_are(tmp_path):
    text = edited(("type: nav_msgs/Odometry", "type: nav_msgs/Odom"))
    (problem,) = problems(tmp_path / "flow.yaml", text)
    types = [repr(kind.value) for kind in MessageType]
    assert [problem] == said(
        text,
        "odometry: {type => estimation.odometry: type is 'nav_msgs/Odom': "
        f"Input should be {', '.join(types[:-1])} or {types[-1]}.",
    )


@pytest.mark.parametrize("artifact", ["", "\n    artifact: other"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (
            "polciy",
            "kind 'polciy' is unknown. Did you mean 'policy'? Your own is written package.module:Class.",
        ),
        (
            "no_such.package:Policy",
            "kind 'no_such.package:Policy' cannot be imported (No module named 'no_such').",
        ),
        ("':Policy'", "kind ':Policy' cannot be imported (ValueError('Empty module name'))."),
        ("pathlib:Path", "kind 'pathlib:Path' is not a Module (reflexarc.control.module)."),
        (
            "reflexarc.control.module:Module",
            "kind 'reflexarc.control.module:Module' does not say what its ports need: "
            "input_needs and output_needs.",
        ),
    ],
)
def test_kinds_that_cannot_be(tmp_path, kind, reason, artifact):
    text = edited(("kind: policy", f"kind: {kind}{artifact}"))
    assert problems(tmp_path / "flow.yaml", text) == said(text, f"kind: {kind} => policy: {reason}")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "    deadline_s: 0.02\n",
            "    deadline_s: 0.02\n    deadline_s: 0.03\n",
            "deadline_s: 0.03 => modules.guard.deadline_s: named twice, first on line {first}.",
        ),
        (
            "flow: arm_catch",
            "flow: arm_catch\nflow: b",
            "flow: b => flow: named twice, first on line {first}.",
        ),
        (
            "      detection: {source:",
            "      detection: perception.detection\n      detection: {source:",
            "detection: {{source => modules.estimation.inputs.detection: named twice, first on line {first}.",
        ),
    ],
)
def test_keys_that_are_named_twice(tmp_path, old, new, problem):
    text = edited((old, new))
    first = text.count("\n", 0, text.index(new.lstrip())) + 1
    assert problems(tmp_path / "flow.yaml", text) == said(text, problem.format(first=first))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "trigger: [odometry]",
            "trigger: [odometry",
            "inputs:\n      odometry => "
            "not YAML: while parsing a flow sequence, expected ',' or ']', but got ':'.",
        ),
        ("kind: policy", "kind: a: b", "kind: a: b => not YAML: mapping values are not allowed here."),
        ("kind: policy", "kind: *nobody", "kind: *nobody => not YAML: found undefined alias 'nobody'."),
        (
            "kind: policy",
            "kind: po\x01licy",
            "kind: po\x01licy => not YAML: special characters are not allowed (U+0001).",
        ),
        (
            "modules:\n",
            "---\nmodules:\n",
            "--- => not YAML: expected a single document in the stream, but found another document.",
        ),
        (
            "kind: policy",
            "? [a]\n    : b\n    kind: policy",
            "? [a] => not YAML: while constructing a mapping, found unhashable key.",
        ),
        (
            "deadline_s: 0.02",
            "deadline_s: !!python/none x",
            "deadline_s => "
            "not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/none'.",
        ),
        ("deadline_s: 0.02", "deadline_s: 2026-13-45", "deadline_s => '2026-13-45' is not a timestamp."),
        ("deadline_s: 0.02", "deadline_s: !!timestamp soon", "deadline_s => 'soon' is not a timestamp."),
        ("deadline_s: 0.02", "deadline_s: !!bool maybe", "deadline_s => 'maybe' is not a bool."),
        ("deadline_s: 0.02", "!!int deadline_s: 0.02", "!!int => 'deadline_s' is not a int."),
        (
            "kind: policy",
            "kind: &itself [*itself]",
            "# => nested too deep, or an anchor that holds itself.",
        ),
        ("kind: policy", "kind: " + 3000 * "[", "# => nested too deep, or an anchor that holds itself."),
    ],
    ids=lambda value: value[:40],
)
def test_text_that_is_not_yaml(tmp_path, old, new, problem):
    text = edited((old, new))
    assert problems(tmp_path / "flow.yaml", text) == said(text, problem)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "1: the file is empty. `reflexarc graph` draws one that is not."),
        (b"# a comment\n", "1: the file is empty. `reflexarc graph` draws one that is not."),
        (b"- flow\n", "1: a flow file is a mapping with the keys flow, plant and modules."),
        (b"arm_catch\n", "1: a flow file is a mapping with the keys flow, plant and modules."),
        (b"flow: a\nplant: \xff\n", "2: not UTF-8. Save the file as text in that encoding."),
    ],
)
def test_files_that_are_no_mapping(tmp_path, content, problem):
    assert problems(tmp_path / "flow.yaml", content) == [problem]


def test_a_flow_without_modules(tmp_path):
    text = TEXT[: TEXT.index("modules:")] + "modules:\n"
    assert problems(tmp_path / "flow.yaml", text) == said(text, "modules: => modules: there is none.")


def test_all_problems_are_said_at_once_in_the_order_of_the_file(tmp_path):
    text = edited(
        ("deadline_s:", "deadline:"), ("flow: arm_catch", "flow: 7"), ("color: plant.color", "color: a")
    )
    assert problems(tmp_path / "flow.yaml", text) == said(
        text,
        "flow: => flow is 7, expected a name in lower snake case, as in arm_catch.",
        "color: a => perception.color: source 'a', expected node.port, as in plant.color.",
        "deadline: => modules.guard: unknown key 'deadline'. Did you mean 'deadline_s'?",
    )


def test_a_flow_that_is_not_there_names_the_nearest(tmp_path):
    with pytest.raises(FlowError) as refused:
        load_flow("arm_cach")
    assert str(refused.value) == (
        "arm_cach: no such flow (No such file or directory: "
        f"{FLOWS / 'arm_cach.yaml'}). Did you mean 'arm_catch'?"
    )
    path = tmp_path / "mine.yaml"
    with pytest.raises(FlowError) as refused:
        load_flow(str(path))
    known = ", ".join(known_flows())
    assert str(refused.value) == f"{path}: no such flow (No such file or directory: {path}). Known: {known}."
    path.mkdir()
    with pytest.raises(FlowError, match=r"no such flow \(Is a directory"):
        load_flow(str(path))


NINE = Path(__file__).parent / "redundancy" / "nine_estimators.yaml"
REDUNDANT = NINE.read_text(encoding="utf-8")


def changed(old, new):
    assert old in REDUNDANT, f"{old!r} is not in the flow file any more"
    return REDUNDANT.replace(old, new)


def test_a_job_that_is_done_in_parallel_becomes_members_and_a_voter():
    flow = load_flow(str(NINE))
    members = [name for name in flow.modules if name.startswith("estimation_")]
    assert len(members) == 9
    assert flow.modules["estimation"].kind == "voter"
    assert tuple(str(source) for source in flow.modules["estimation"].inputs.values()) == tuple(
        f"{name}.odometry" for name in members
    )
    assert {flow.modules[name].artifact for name in members} == {"estimation"}
    assert str(flow.modules["policy"].inputs["odometry"]) == "estimation.odometry"
    assert flow.order.index("estimation") > max(flow.order.index(name) for name in members)


SECOND = "        second: {replicas: 3, artifact"


@pytest.mark.parametrize(
    ("text", "said_at", "complaint"),
    [
        (
            changed(SECOND, "        second: {replicas: 0, artifact"),
            "second: {",
            "estimation: approaches.second.replicas is 0: Input should be greater than or equal to 1.",
        ),
        (
            changed("position_tolerance_m: 0.02", "position_tolerance_m: 1.0e-12"),
            "parameters:\n        # In real time",
            "estimation: voter: parameter position_tolerance_m: "
            "Input should be greater than or equal to 0.000000001.",
        ),
        (
            changed("patience_s: 0.008", "patience_s: 0.5"),
            "patience_s",
            "estimation: patience_s 0.5 is longer than the 0.01 s from step to step.",
        ),
        (
            changed(SECOND, "        second: {replicas: 3, kind: perception, artifact"),
            "inputs:\n      detection",
            "estimation_second: input 'color' (sensor_msgs/Image) is missing.",
        ),
        (
            changed("    redundancy:", "    artifact: mine\n    redundancy:"),
            "artifact: mine",
            "modules.estimation: unknown key 'artifact'.",
        ),
        (
            changed(SECOND, "        second: {replicas: 3, trains: 1, artifact"),
            "second: {",
            "estimation: unknown key 'approaches.second.trains'.",
        ),
    ],
)
def test_what_is_wrong_with_a_job_is_said_where_the_file_says_it(text, said_at, complaint, tmp_path):
    line = text.count("\n", 0, text.index(said_at)) + 1
    found = problems(tmp_path / "flow.yaml", text)
    assert any(problem.startswith(f"{line}: {complaint}") for problem in found), found


def test_a_member_cannot_have_the_name_of_another_module(tmp_path):
    text = changed("  policy:\n", "  estimation_second_2:\n")
    found = problems(tmp_path / "flow.yaml", text)
    assert any("estimation_second_2: is also the name of a member of estimation." in line for line in found)


FIRST = "source: estimation.odometry, unit: m, frame: base_link"


def test_an_input_has_sources_to_fall_back_to(tmp_path):
    path = tmp_path / "flow.yaml"
    path.write_text(
        changed(FIRST, f"{FIRST}, fallback: [estimation_first.odometry, estimation_second.odometry]")
    )
    flow = load_flow(str(path))
    inputs = flow.modules["policy"].inputs
    assert [str(inputs[name]) for name in ("odometry", "odometry~1", "odometry~2")] == [
        "estimation.odometry",
        "estimation_first.odometry",
        "estimation_second.odometry",
    ]
    assert inputs["odometry~1"].expect == inputs["odometry"].expect == {"unit": "m", "frame": "base_link"}
    assert ("policy", "odometry~1") in flow.consumers("estimation_first", "odometry")
    assert config_digest(flow, "policy", {}) == config_digest(load_flow(str(NINE)), "policy", {})


@pytest.mark.parametrize(
    ("fallback", "complaint"),
    [
        (
            "estimation_first.odometry",
            "policy.odometry: fallback is 'estimation_first.odometry', expected a list",
        ),
        ("[]", "policy.odometry: fallback is [], expected a list of sources."),
        ("[estimation_first]", "policy.odometry: source 'estimation_first', expected node.port, as in"),
        ("[estimation_fist.odometry]", "policy.odometry~1: source 'estimation_fist.odometry': there is no"),
        ("[perception.detection]", "policy.odometry~1: type: perception.detection is"),
    ],
)
def test_a_source_that_cannot_be_fallen_back_to_is_said(tmp_path, fallback, complaint):
    found = problems(tmp_path / "flow.yaml", changed(FIRST, f"{FIRST}, fallback: {fallback}"))
    assert any(complaint in line for line in found), found


def test_the_plant_has_one_commander(tmp_path):
    text = edited(("command: guard.command", "command: {source: guard.command, fallback: [policy.command]}"))
    found = problems(tmp_path / "flow.yaml", text)
    assert any("plant.command: only the guard commands the plant." in line for line in found)


def test_no_port_is_named_like_a_further_source(tmp_path):
    found = problems(
        tmp_path / "flow.yaml", edited(("      detection: {source", "      detection~1: {source"))
    )
    assert any("no port can have a '~' in its name." in line for line in found)
