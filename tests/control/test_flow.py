from pathlib import Path

import pytest

from reflexarc.control.errors import FlowError
from reflexarc.control.flow import PLANT, Flow, ModuleSpec, PlantSpec, Source, TrainingSpec
from reflexarc.control.flow_file import load_flow
from reflexarc.control.ports import MessageType, Port

NINE = Path(__file__).parent / "redundancy" / "nine_estimators.yaml"


def port(topic, kind=MessageType.JOINT_STATE):
    return Port(type=kind, topic=topic, rate_hz=100)


def module(name, *sources, latency_s=0.0, needs=None):
    """A module with one output `out`; its inputs are named by the nodes that they come from."""
    inputs = {node: Source(node=node, port="joints" if node == PLANT else "out") for node in sources}
    return ModuleSpec(
        name=name,
        kind="any",
        trigger=sources[:1],
        latency_s=latency_s,
        inputs=inputs,
        outputs={"out": port(name)},
        training=None if needs is None else TrainingSpec(trainer="supervised", needs=needs),
    )


def flow(*modules, commanded_by="last"):
    plant = PlantSpec(
        env="any",
        rate_hz=100,
        outputs={"joints": port("joints"), "image": port("image", MessageType.IMAGE)},
        inputs={"command": Source(node=commanded_by, port="out")},
    )
    return Flow(name="some_flow", plant=plant, modules={spec.name: spec for spec in modules})


def test_order_follows_the_data_whatever_the_order_of_the_file():
    modules = [module("last", "second"), module("first", PLANT), module("second", "first", PLANT)]
    assert flow(*modules).order == ("first", "second", "last")
    assert flow(*reversed(modules)).order == ("first", "second", "last")


def test_order_is_the_same_in_every_process():
    sources = [module(f"source_{number}", PLANT) for number in (3, 1, 4, 2, 6, 5)]
    last = module("last", *(spec.name for spec in sources))
    made = flow(*sources, last)
    assert made.order == (*(spec.name for spec in sources), "last")
    assert flow(last, *sources).order == made.order


def test_a_loop_with_latency_has_an_order():
    made = flow(module("first", PLANT, "last"), module("last", "first", latency_s=0.01))
    assert made.order == ("first", "last")
    both = flow(module("first", PLANT, "last", latency_s=0.02), module("last", "first", latency_s=0.01))
    assert set(both.order) == {"first", "last"}


def test_a_reader_without_latency_follows_its_source_even_where_a_loop_makes_it_shallow():
    made = flow(
        module("a", "b", latency_s=0.01),
        module("b", "last"),
        module("last", PLANT, "a", latency_s=0.01),
        module("c", "b"),
    )
    assert made.order.index("b") < made.order.index("c")


@pytest.mark.parametrize(
    ("modules", "cycle"),
    [
        (
            [module("first", "last"), module("last", "first")],
            {"first -> last -> first", "last -> first -> last"},
        ),
        ([module("last", "last")], {"last -> last"}),
    ],
)
def test_a_loop_without_latency_is_refused(modules, cycle):
    with pytest.raises(FlowError) as refused:
        _ = flow(*modules).order
    path, _, rest = str(refused.value).partition(": ")
    assert path in cycle
    assert rest == "a cycle without latency. Give one of them a latency_s of at least one tick."


def test_latency_and_ticks():
    made = flow(module("first", PLANT, latency_s=0.03), module("last", "first"))
    assert made.tick_ns == 10_000_000
    assert [made.latency_ticks(node) for node in (PLANT, "first", "last")] == [0, 3, 0]


def test_consumers_of_an_output():
    made = flow(module("first", PLANT), module("last", "first", PLANT))
    assert made.consumers(PLANT, "joints") == (("first", PLANT), ("last", PLANT))
    assert made.consumers("first", "out") == (("last", "first"),)
    assert made.consumers("last", "out") == ((PLANT, "command"),)
    assert made.consumers(PLANT, "image") == ()


def test_ports_by_source_and_by_node():
    made = flow(module("last", PLANT))
    assert made.port(Source(node=PLANT, port="joints")).topic == "joints"
    assert made.port(made.plant.inputs["command"]).topic == "last"
    assert list(made.inputs("last")) == [PLANT]
    assert list(made.inputs(PLANT)) == ["command"]
    assert list(made.outputs(PLANT)) == ["joints", "image"]
    assert str(made.plant.inputs["command"]) == "last.out"


def test_path_to_camera_leads_from_the_command_back_to_the_image():
    assert load_flow("arm_catch").path_to_camera == (
        ("guard", "command"),
        ("policy", "odometry"),
        ("estimation", "detection"),
        ("perception", "color"),
    )


def test_path_to_camera_is_empty_without_one_and_ends_in_a_loop():
    made = flow(module("first", PLANT, "last"), module("last", "first", latency_s=0.01))
    assert made.path_to_camera == ()


def test_training_order_follows_the_needs_not_the_data():
    made = flow(
        module("first", PLANT, needs=("last",)),
        module("second", "first"),
        module("last", "second", needs=()),
    )
    assert made.order == ("first", "second", "last")
    assert made.training_order == ("last", "first")


def test_a_cycle_of_training_needs_is_refused():
    made = flow(module("first", PLANT, needs=("last",)), module("last", "first", needs=("first",)))
    assert made.order == ("first", "last")
    with pytest.raises(FlowError) as refused:
        _ = made.training_order
    path, _, rest = str(refused.value).partition(": ")
    assert path in {"first -> last -> first", "last -> first -> last"}
    assert rest == "a cycle of training needs. One of them has to be trained without the other."


def test_behind_a_voter_are_its_members_and_before_it_their_readers():
    flow = load_flow(str(NINE))
    source = flow.modules["policy"].inputs["odometry"]
    producers = flow.producers(source)
    assert [producer.node for producer in producers] == list(
        name for name in flow.modules if name.startswith("estimation_")
    )
    assert {producer.port for producer in producers} == {"odometry"}
    assert flow.readers("estimation_second_2", "odometry") == (("policy", "odometry"),)
    detection = flow.modules["estimation_second"].inputs["detection"]
    assert flow.producers(detection) == (detection,)
