import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from reflexarc.control import cli
from reflexarc.control.errors import FlowError

VERBS = ("sim", "deploy", "activate", "deactivate", "eval", "train", "swap", "graph", "doctor", "bench")

HEAVY = ("numpy", "mujoco", "rclpy", "torch", "onnxruntime", "stable_baselines3", "gymnasium", "yaml")
"""Each takes longer to import than all that a help page needs."""


def run_python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from reflexarc.control.cli import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_the_command_line_itself_needs_no_pydantic() -> None:
    # Typer imports it by itself as soon as a verb has options.
    done = run_python("import sys, reflexarc.control.cli; print('pydantic' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


def test_help_names_every_verb() -> None:
    text = CliRunner().invoke(cli.app, ["--help"]).output
    assert all(verb in text for verb in VERBS)


def test_without_arguments_it_shows_its_help() -> None:
    assert "Usage" in CliRunner().invoke(cli.app, []).output


def test_an_unknown_clock_names_the_known_ones() -> None:
    result = CliRunner().invoke(cli.app, ["sim", "--clock", "fast"])
    assert result.exit_code == 2
    assert "lockstep" in result.output
    assert "realtime" in result.output


def test_what_a_user_causes_is_a_line_per_problem_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as raised, cli._told():
        raise FlowError("flow.yaml:3: no such thing.\nflow.yaml:7: nor this.")
    assert raised.value.exit_code == 1
    assert capsys.readouterr().err.splitlines() == [
        "reflexarc: flow.yaml:3: no such thing.",
        "reflexarc: flow.yaml:7: nor this.",
    ]


def test_what_nobody_should_cause_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), cli._told():
        raise ZeroDivisionError


def test_ctrl_c_ends_it_with_130(tmp_path: Path) -> None:
    # A named pipe that nobody reads holds the command where the user loses patience.
    pipe = tmp_path / "drawing"
    os.mkfifo(pipe)
    arguments = ["graph", "--out", str(pipe)]
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "reflexarc.control.cli", *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith("reflexarc.control.commands.graph"):
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 130, rest
    assert rest.splitlines()[-1] == "reflexarc: interrupted"


def test_console_script_is_this() -> None:
    script = Path(sys.executable).parent / "reflexarc"
    done = subprocess.run([str(script), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: reflexarc" in done.stdout
