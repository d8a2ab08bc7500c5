from pathlib import Path

import pytest

from reflexarc.control.commands.graph import run_graph
from reflexarc.control.drawing import draw_mermaid, draw_svg, draw_text
from reflexarc.control.errors import FlowError, ReflexarcError
from reflexarc.control.flow_file import load_flow


def test_it_draws_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run_graph("arm_catch", "text", False, None)
    assert capsys.readouterr().out == draw_text(load_flow("arm_catch")) + "\n"


def test_it_draws_the_training_graph(capsys: pytest.CaptureFixture[str]) -> None:
    run_graph("arm_catch", "mermaid", True, None)
    assert capsys.readouterr().out == draw_mermaid(load_flow("arm_catch"), training=True) + "\n"


def test_it_draws_to_a_file(tmp_path: Path) -> None:
    run_graph("arm_track", "svg", False, tmp_path / "flow.svg")
    assert (tmp_path / "flow.svg").read_text() == draw_svg(load_flow("arm_track")) + "\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReflexarcError, match=r"the drawing cannot be written \(No such file"):
        run_graph("arm_catch", "text", False, tmp_path / "nowhere" / "flow.txt")


def test_an_unknown_flow_names_the_nearest() -> None:
    with pytest.raises(FlowError, match=r"Did you mean 'arm_track'\?"):
        run_graph("arm_trak", "text", False, None)
