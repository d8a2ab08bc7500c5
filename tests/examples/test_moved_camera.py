import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "moved_camera.py"


@pytest.mark.timeout(400)
@pytest.mark.slow
def test_only_perception_is_trained_again(tmp_path):
    report = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--small", "--json", str(report)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(report.read_text())
    assert result["before"] >= 0.75
    assert result["broken"] <= result["before"] - 0.5
    assert result["unchanged"] == ["estimation", "policy"]
    assert 0 < result["time_ratio"] < 1
    assert {"after", "recalibrated", "all_three", "violations"} <= set(result)
