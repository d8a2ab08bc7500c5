import re
from xml.etree import ElementTree

import pytest

from reflexarc.control.deployment import Deployment
from reflexarc.control.drawing import draw_mermaid, draw_svg, draw_text
from reflexarc.control.flow import Flow, Source
from reflexarc.control.flow_file import known_flows, load_flow

SVG = "{http://www.w3.org/2000/svg}"


def with_loop(flow):
    """The flow, with what the guard commanded led back to the policy."""
    policy = flow.modules["policy"]
    inputs = {**policy.inputs, "commanded": Source(node="guard", port="commanded")}
    modules = {**flow.modules, "policy": policy.model_copy(update={"inputs": inputs})}
    return Flow(name=flow.name, plant=flow.plant, modules=modules)


def deployed(flow, deployment):
    return Flow(
        name=flow.name,
        plant=flow.plant,
        modules=flow.modules,
        deployment=Deployment.model_validate(deployment),
    )


def boxes(svg):
    """(x, y, width, height) of every box."""
    return [
        tuple(float(rect.get(name)) for name in ("x", "y", "width", "height"))
        for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect")
        if rect.get("x") is not None
    ]


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_text_of_a_flow():
    text = draw_text(load_flow("arm_catch"))
    assert text.isascii()
    assert re.findall(r"^\w+", text, re.MULTILINE) == [
        "arm_catch",
        "plant",
        "v",
        "perception",
        "v",
        "estimation",
        "v",
        "policy",
        "v",
        "guard",
        "v",
        "plant",
    ]
    assert "|  ball/detection (geometry_msgs/PoseWithCovarianceStamped), 50 Hz, latency 10 ms\n" in text
    assert "|  camera/color/camera_info (sensor_msgs/CameraInfo), once, latency 0 ms\n" in text
    assert "|    joint_states -> policy.joint_states\n" in text
    assert "|    command -> plant.command\n" in text
    assert "|    commanded -> nobody in this flow\n" in text
    assert "guard (on command, or after 20 ms)\n" in text


def test_text_marks_an_edge_that_leads_back():
    assert "|    commanded -> policy.commanded (back)\n" in draw_text(with_loop(load_flow("arm_catch")))


def test_text_of_a_training_graph():
    assert draw_text(load_flow("arm_catch"), training=True).splitlines() == [
        "arm_catch: order of training",
        "",
        "1. perception  supervised     on its own",
        "2. estimation  sequence       on frozen perception",
        "3. policy      reinforcement  on frozen perception, estimation",
    ]


@pytest.mark.parametrize("name", known_flows())
def test_mermaid_has_every_node_and_edge(name):
    flow = load_flow(name)
    first, *lines = draw_mermaid(flow).splitlines()
    assert first == "flowchart TB"
    nodes = {match[1] for line in lines if (match := re.fullmatch(r" +(\w+)(\[|\(\[)\".*\"(\]|\]\))", line))}
    assert nodes == {"node_plant", *(f"node_{module}" for module in flow.modules)}
    edges = [match.groups() for line in lines if (match := re.fullmatch(r' +(\w+) -->\|".*"\| (\w+)', line))]
    assert sorted(edges) == sorted(
        (f"node_{source.node}", f"node_{node}")
        for node in ("plant", *flow.modules)
        for source in flow.inputs(node).values()
    )
    command = "forward_velocity_controller/commands<br/>std_msgs/Float64MultiArray<br/>100 Hz, latency 10 ms"
    assert f'    node_guard -->|"{command}"| node_plant' in lines


def test_mermaid_of_a_training_graph():
    lines = draw_mermaid(load_flow("arm_catch"), training=True).splitlines()
    assert '    node_perception["perception<br/>supervised"]' in lines
    assert [line.split() for line in lines if "-->" in line] == [
        ["node_perception", '-->|"frozen"|', "node_estimation"],
        ["node_perception", '-->|"frozen"|', "node_policy"],
        ["node_estimation", '-->|"frozen"|', "node_policy"],
    ]


def test_names_from_a_flow_file_cannot_break_a_drawing():
    flow = load_flow("arm_catch")
    plant = flow.plant.model_copy(update={"env": 'a "<b>"&\n#c'})
    odd = Flow(name=flow.name, plant=plant, modules=flow.modules)
    assert 'node_plant(["plant<br/>a #quot;#lt;b#gt;#quot;& #35;c"])' in draw_mermaid(odd)
    assert 'a "<b>"&\n#c' in texts(draw_svg(odd))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", known_flows())
def test_boxes_of_an_svg_lie_inside_and_apart(name, training):
    svg = draw_svg(with_loop(load_flow(name)), training=training)
    root = ElementTree.fromstring(svg)
    placed = boxes(svg)
    for x, y, width, height in placed:
        assert 0 < x < x + width < float(root.get("width"))
        assert 0 < y < y + height < float(root.get("height"))
    for number, (x, y, width, height) in enumerate(placed):
        for other_x, other_y, other_width, other_height in placed[:number]:
            beside = x + width < other_x or other_x + other_width < x
            assert beside or y + height < other_y or other_y + other_height < y


def test_svg_shows_topics_with_type_rate_and_latency():
    shown = texts(draw_svg(load_flow("arm_catch")))
    at = shown.index("ball/detection")
    expected = ["ball/detection", "geometry_msgs/PoseWithCovarianceStamped", "50 Hz, latency 10 ms"]
    assert shown[at : at + 3] == expected
    assert shown.count("plant") == 2  # sensors above, actuators below


def test_svg_draws_an_edge_that_leads_back_with_dashes():
    flow = load_flow("arm_catch")

    def dashed(svg):
        paths = ElementTree.fromstring(svg).iter(f"{SVG}path")
        return [path.findtext(f"{SVG}title") for path in paths if path.get("stroke-dasharray")]

    assert dashed(draw_svg(flow)) == []
    assert dashed(draw_svg(with_loop(flow))) == ["guard.commanded to policy.commanded"]


def test_a_flow_without_training_can_be_drawn():
    flow = load_flow("arm_catch")
    modules = {name: spec.model_copy(update={"training": None}) for name, spec in flow.modules.items()}
    untrained = Flow(name=flow.name, plant=flow.plant, modules=modules)
    assert draw_text(untrained, training=True).endswith("No module of this flow is trained.")
    assert draw_mermaid(untrained, training=True) == "flowchart TB"
    assert boxes(draw_svg(untrained, training=True)) == []


def test_text_says_what_shares_a_process_and_what_goes_between_hosts():
    flow = load_flow("arm_catch")
    placed = {
        "hosts": {"head": {"address": "10.0.0.1"}, "arm": {"address": "10.0.0.2"}},
        "processes": {
            "mind": {"host": "head", "modules": ["perception", "estimation", "policy"]},
            "reflex": {"host": "arm", "modules": ["guard"]},
        },
    }
    text = draw_text(deployed(flow, placed))
    assert text.startswith(draw_text(flow))
    assert text.removeprefix(draw_text(flow)).splitlines() == [
        "",
        "",
        "processes",
        "   mind on head (10.0.0.1): perception, estimation, policy",
        "   reflex on arm (10.0.0.2): guard",
        "between hosts",
        "   camera/color/image_raw, 50 Hz, latency 0 ms: plant -> head",
        "   camera/depth/image_raw, 50 Hz, latency 0 ms: plant -> head",
        "   camera/color/camera_info, once, latency 0 ms: plant -> head",
        "   joint_states, 100 Hz, latency 0 ms: plant -> arm, head",
        "   policy/command, 100 Hz, latency 0 ms: head -> arm",
        "   forward_velocity_controller/commands, 100 Hz, latency 10 ms: arm -> plant",
    ]


def test_text_of_processes_alone():
    flow = load_flow("arm_catch")
    placed = {"processes": {"all": {"modules": list(flow.modules)}}}
    lines = draw_text(deployed(flow, placed)).splitlines()
    assert lines[-2:] == ["processes", "   all: perception, estimation, policy, guard"]
