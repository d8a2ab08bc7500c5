"""What `deploy` says and refuses; that it moves a robot is in tests/control/nodes/test_deployment.py."""

from pathlib import Path

from reflexarc.control.commands.deploy import Teller
from reflexarc.control.flow_file import FLOWS, load_flow
from reflexarc.control.nodes.bringup import Status
from reflexarc.control.nodes.running import FLOW_FILE, announce
from reflexarc.control.robot_file import on_robot
from reflexarc.control.values import Diagnostic

FLOW = on_robot(load_flow("arm_catch"), "ur5e_realsense")

DEPLOYMENT = """
deployment:
  hosts: {head: {address: 192.0.2.1}, arm: {address: 192.0.2.2}}
  processes:
    mind: {host: head, modules: [perception, estimation, policy]}
    reflex: {host: arm, modules: [guard]}
"""


def status(commands: str | None = None, **respawns: int) -> Status:
    figures = () if commands is None else (("commands", commands),)
    nodes = {"guard": Diagnostic(name="guard", level=0, message="ok", figures=figures)}
    return Status("running", nodes, (), respawns)


def test_who_stands_beside_the_robot_is_told_each_change_once() -> None:
    teller = Teller(FLOW)
    assert teller.news(Status("starting", {}, ())) == ["arm_catch on ur5e_realsense: starting"]
    assert teller.news(status("not activated")) == [
        "arm_catch on ur5e_realsense: running",
        "guard: commands not activated; `reflexarc activate` lets the robot move",
    ]
    assert teller.news(status("go out")) == ["guard: commands go out"]
    assert teller.news(status("go out")) == []
    assert teller.news(status("hold still: emergency stop")) == ["guard: commands hold still: emergency stop"]
    assert teller.caption == "guard: commands hold still: emergency stop"
    assert teller.news(status(policy=1)) == ["policy ended and was started again"]
    assert teller.news(status(policy=1, guard=1)) == [
        "guard ended and was started again; the robot stands still"
    ]


def test_a_robot_has_one_deployment(reflexarc, tmp_path: Path) -> None:
    directory = tmp_path / "reflexarc-x"
    directory.mkdir()
    (directory / FLOW_FILE).write_text(FLOW.model_dump_json())
    announce(directory, "arm_catch", "realtime", tmp_path)
    done = reflexarc("deploy", "--robot", "ur5e_realsense", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("reflexarc: flow arm_catch is deployed to ur5e_realsense already (pid ")


def test_a_wrong_robot_file_is_a_line_per_problem_and_nothing_starts(reflexarc, tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("robot: r\njoints: [elbow]\noutputs:\n  colr: {topic: c}\n")
    done = reflexarc("deploy", "--robot", str(path))
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert (
        lines[0] == f"reflexarc: {path}:2: joints: flow arm_catch has no 'elbow'. Did you mean 'elbow_joint'?"
    )
    assert (
        lines[-1]
        == f"reflexarc: {path}:4: outputs: the plant of flow arm_catch has no 'colr'. Did you mean 'color'?"
    )


def test_a_part_of_a_flow_is_started_where_it_belongs(reflexarc, tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text((FLOWS / "arm_catch.yaml").read_text() + DEPLOYMENT)
    command = ("deploy", "--robot", "ur5e_realsense", "--flow", str(path))
    for more, reason in (
        ((), "flow arm_catch runs on several hosts. Say which this is: --host head."),
        (
            ("--host", "head", "--activate"),
            "--activate does not go with --host: each host comes up when it likes. "
            "Run `reflexarc activate` when all are there.",
        ),
        (("--host", "heed"), "arm_catch: its deployment has no host 'heed'. Did you mean 'head'?"),
        (
            ("--host", "head"),
            "host head: 192.0.2.1 is no address of this machine. Run this on head, or correct "
            "the address in the flow file's deployment.",
        ),
    ):
        done = reflexarc(*command, *more, TMPDIR=str(tmp_path))
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == f"reflexarc: {reason}"
