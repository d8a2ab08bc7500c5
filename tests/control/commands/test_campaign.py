import json

import pytest
from typer.testing import CliRunner

from reflexarc.control.cli import app


def test_a_campaign_prints_a_table_and_writes_what_is_in_it(tmp_path):
    path = tmp_path / "campaign.json"
    result = CliRunner().invoke(
        app,
        ["campaign", "--flow", "arm_catch", "--faults", "2", "--module", "estimation", "--json", str(path)],
    )
    assert result.exit_code == 0, result.output
    assert "arm_catch: 2 faults, lockstep, seed 0" in result.output
    figures = json.loads(path.read_text())
    assert {
        "faults",
        "unsafe_commands",
        "detected_or_masked",
        "named_correctly",
        "score_fault_free",
        "score",
        "by_kind",
    } <= set(figures)
    assert figures["faults"] == 2
    assert set(figures["by_kind"]) == {"kill", "freeze"}
    assert sum(row["faults"] for row in figures["by_kind"].values()) == 2
    assert {outcome["injection"]["target"] for outcome in figures["outcomes"]} == {"estimation"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--faults", "0"], "episodes is 0"), (["--module", "estimaton"], "Did you mean 'estimation'?")],
)
def test_what_is_no_campaign_is_one_line(arguments, complaint):
    result = CliRunner().invoke(app, ["campaign", "--flow", "arm_catch", *arguments])
    assert result.exit_code == 1
    assert complaint in result.output
