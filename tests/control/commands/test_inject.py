from pathlib import Path

import pytest

from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.running import FLOW_FILE, announce


@pytest.fixture
def inject(reflexarc, tmp_path: Path):
    """`reflexarc inject` beside a flow that is said to be up; gives exit code and complaint."""
    directory = tmp_path / "reflexarc-x"

    def run(*arguments: str, clock: str | None = "realtime") -> tuple[int, str]:
        if clock is not None:
            directory.mkdir()
            (directory / FLOW_FILE).write_text(load_flow("arm_catch").model_dump_json())
            announce(directory, "arm_catch", clock, tmp_path)
        done = reflexarc("inject", *arguments, TMPDIR=str(tmp_path))
        return done.returncode, done.stderr

    return run


def test_without_a_running_flow_it_says_how_to_start_one(inject) -> None:
    complaint = "reflexarc: no flow is running. Start one with `reflexarc sim --clock realtime`.\n"
    assert inject("--module", "policy", "--fault", "nan", clock=None) == (1, complaint)


@pytest.mark.parametrize(
    ("arguments", "clock", "complaint"),
    [
        (["polcy", "nan"], "realtime", "flow arm_catch has no module 'polcy'. Did you mean 'policy'?"),
        (
            ["guard", "kill"],
            "realtime",
            "guard: it is what keeps the robot safe. Faults are injected before it.",
        ),
        (
            ["policy", "kill"],
            "lockstep",
            "policy: in lock step everybody waits for a process that is silent.",
        ),
        (
            ["policy", "freeze"],
            "lockstep",
            "policy: in lock step everybody waits for a process that is silent.",
        ),
        (["policy", "kill"], "realtime", "flow arm_catch: no process of policy is known."),
    ],
)
def test_what_is_wrong_is_one_line(inject, arguments: list[str], clock: str, complaint: str) -> None:
    module, fault = arguments
    code, said = inject("--module", module, "--fault", fault, clock=clock)
    assert code == 1
    assert said.startswith(f"reflexarc: {complaint}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--fault", "burn"], ["--fault", "nan", "--for", "0"], ["--fault", "nan", "--at", "-1"]]
)
def test_what_is_no_fault_is_refused_by_the_command_line(inject, arguments: list[str]) -> None:
    code, said = inject("--module", "policy", *arguments)
    assert code == 2
    assert "Invalid value" in said
