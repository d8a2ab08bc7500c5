import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.artifacts.store import read_lock
from reflexarc.control.errors import ArtifactError
from reflexarc.control.training import paired
from reflexarc.control.training.paired import _LOOKS, compare_in_closed_loop, interval, score_of

RUNS = 1000


@pytest.mark.parametrize(
    ("both", "only_new", "only_old"),
    [(0.8, 0.05, 0.05), (0.9, 0.02, 0.02), (0.3, 0.3, 0.1), (0.85, 0.0, 0.1), (0.95, 0.01, 0.0)],
)
def test_the_interval_holds_the_true_gain_at_every_look_in_95_of_100_comparisons(both, only_new, only_old):
    rng = np.random.default_rng(0)
    shares = [both, only_new, only_old, 1 - both - only_new - only_old]
    gains = np.array([0.0, 1.0, -1.0, 0.0])[rng.choice(4, (RUNS, _LOOKS[-1]), p=shares)]
    held = 0
    for run in gains:
        ends = [interval(run[:look], is_share=True)[1:] for look in _LOOKS]
        held += all(low <= only_new - only_old <= high for low, high in ends)
    assert held / RUNS >= 0.95


def test_so_it_does_for_errors_in_metres():
    rng = np.random.default_rng(0)
    gains = rng.normal(0.001, 0.004, (RUNS, _LOOKS[-1]))
    held = 0
    for run in gains:
        ends = [interval(run[:look], is_share=False)[1:] for look in _LOOKS]
        held += all(low <= 0.001 <= high for low, high in ends)
    assert held / RUNS >= 0.94  # it takes the normal quantile for Student's, which 20 pairs show


@pytest.mark.parametrize("count", [2, 20, 400])
def test_pairs_that_never_differ_leave_a_width_that_shrinks(count):
    gain, low, high = interval([0.0] * count, is_share=True)
    assert gain == 0.0
    assert low == pytest.approx(-high)
    assert 1 / count < high < 6 / count


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=2, max_size=100))
def test_better_and_worse_are_treated_alike(gains):
    gain, low, high = interval(gains, is_share=True)
    assert low < high
    mirrored = interval([-value for value in gains], is_share=True)
    assert mirrored == pytest.approx((-gain, -high, -low))


def test_more_pairs_say_more():
    widths = [
        high - low for _, low, high in (interval([0, 1, 0, -1] * n, is_share=True) for n in (5, 25, 100))
    ]
    assert widths == sorted(widths, reverse=True)


def test_the_score_is_that_of_the_task():
    assert score_of({"unsafe_commands": 0.0, "catch_rate": 1.0}) == "catch_rate"
    assert score_of({"squared_error_m2": 0.0, "tracking_rmse_m": 0.1}) == "tracking_rmse_m"


@pytest.mark.slow
def test_an_artifact_against_itself_is_not_worse_and_it_looks_no_further(trained, monkeypatch):
    monkeypatch.setattr(paired, "_LOOKS", (2, 4))
    lock = read_lock(trained.store, trained.flow.name)
    told = []
    found = compare_in_closed_loop(
        trained.flow, trained.store, lock, lock, 0, 6, lambda *pairs: told.append(pairs)
    )
    assert (found.figure, found.verdict) == ("tracking_rmse_m", "not worse")
    assert found.old == found.new
    assert len(found.old) == 2
    assert (found.gain, found.low, found.high) == (0.0, 0.0, 0.0)
    assert told == [(2, 6), (6, 6)]
    assert all(math.isfinite(score) for score in found.old)


def test_an_artifact_that_is_not_there_is_named(trained):
    lock = read_lock(trained.store, trained.flow.name)
    with pytest.raises(ArtifactError, match="policy-000000000000: no artifact here"):
        compare_in_closed_loop(
            trained.flow, trained.store, lock, {**lock, "policy": 64 * "0"}, 0, 2, lambda *_: None
        )


@pytest.mark.slow
def test_no_process_is_left_behind_when_it_is_killed(trained, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from reflexarc.control.artifacts.store import read_lock\n"
        "from reflexarc.control.flow_file import load_flow\n"
        "from reflexarc.control.training.paired import compare_in_closed_loop\n"
        "if __name__ == '__main__':\n"
        "    store = Path(sys.argv[1])\n"
        "    lock = read_lock(store, 'arm_track')\n"
        "    compare_in_closed_loop(load_flow('arm_track'), store, lock, lock, 0, 400, print)\n"
    )
    process = subprocess.Popen([sys.executable, str(script), str(trained.store)])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until = time.monotonic() + 60
    while len(pids := children.read_text().split()) < 3 and time.monotonic() < until:
        time.sleep(0.1)  # both, and multiprocessing's own tracker
    time.sleep(3.0)
    process.kill()
    process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until + 30, "a process is left behind"
        time.sleep(0.1)
