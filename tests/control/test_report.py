import json
from io import StringIO

import pytest
from rich.console import Console

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.report import make_report, mean_score, print_report, write_report
from reflexarc.control.run_result import Episode, RunResult
from reflexarc.control.trace import StepRecord

MS = 1_000_000


def step(now_ms, inputs, output_ms, took_ms):
    return StepRecord(
        now_ns=now_ms * MS,
        output_stamp_ns=output_ms * MS,
        input_stamps_ns={port: stamp * MS for port, stamp in inputs.items()},
        received_ns=5 * MS,
        published_ns=round((5 + took_ms) * MS),
    )


RECORDS = {
    "perception": [step(0, {"color": 0, "depth": 0}, 0, 3.0)],
    "estimation": [step(10, {"detection": 0, "joint_states": 10}, 10, 1.0)],
    "policy": [step(10, {"odometry": 10}, 10, 0.5)],
    "guard": [step(10, {"command": 10}, 10, took) for took in (0.1, 0.2, 0.3)],
}


def episode(seed=0, **score):
    return Episode(seed=seed, ticks=100, score=score)


def result(**changes):
    fields = {
        "episodes": (
            episode(7, catch_rate=1.0, unsafe_commands=2.0),
            episode(8, catch_rate=0.0, unsafe_commands=1.0),
        ),
        "trajectory_sha256": 64 * "a",
        "missed_deadlines": 4,
        "records": RECORDS,
        "rejections": {"guard": {"command: too old": 3}, "policy": {}},
    }
    return RunResult(**{**fields, **changes})


def report(**changes):
    return make_report(load_flow("arm_catch"), "lockstep", 5, result(**changes), {"policy": 64 * "b"})


def printed(made):
    console = Console(file=StringIO(), width=120)
    print_report(made, console)
    return console.file.getvalue()


def test_a_report_says_what_ran_and_what_it_came_to():
    made = report()
    assert (made.flow, made.clock, made.seed, made.episodes) == ("arm_catch", "lockstep", 5, 2)
    assert made.score == {"catch_rate": 0.5}
    assert made.missed_deadlines == 4
    assert made.unsafe_commands == 3
    assert made.artifacts == {"policy": 64 * "b"}
    assert made.trajectory_sha256 == 64 * "a"
    assert made.rejections == {"guard": {"command: too old": 3}}


def test_latencies_per_module_in_ms():
    latency = report().latency_ms
    assert list(latency) == ["perception", "estimation", "policy", "guard", "frame_to_command"]
    assert latency["perception"].p50 == pytest.approx(3.0)
    assert latency["guard"].p50 == pytest.approx(0.2)
    assert latency["guard"].p99 == pytest.approx(0.298)


def test_in_lock_step_a_frame_ages_until_the_command_takes_effect():
    # The guard steps 10 ms after the frame, and its command acts one tick of 10 ms later.
    assert report().latency_ms["frame_to_command"].p50 == pytest.approx(20.0)


def test_in_real_time_a_frame_ages_by_the_clock():
    made = report(clock_at={0: 2 * MS})
    assert made.latency_ms["frame_to_command"].p50 == pytest.approx(3.1)


def test_the_real_time_factor_leaves_out_what_lies_between_episodes():
    # Two episodes of 100 ticks of 10 ms, each tick 12.5 ms apart on the wall, a second in between.
    clock_at = {
        tick * 10 * MS: int(tick * 12.5 * MS) + (1000 * MS if tick >= 100 else 0) for tick in range(200)
    }
    assert report(clock_at=clock_at).real_time_factor == pytest.approx(0.8)
    assert report().real_time_factor is None


def test_a_module_that_never_stepped_has_no_latency():
    made = report(records={"guard": RECORDS["guard"]})
    assert list(made.latency_ms) == ["guard"]


def test_an_error_is_the_root_of_the_mean_square_over_all_episodes():
    score = mean_score(
        [
            episode(tracking_rmse_m=1.0, squared_error_m2=3.0, squared_error_count=3.0, unsafe_commands=0.0),
            episode(tracking_rmse_m=4.0, squared_error_m2=16.0, squared_error_count=1.0, unsafe_commands=9.0),
        ]
    )
    assert score == {"tracking_rmse_m": pytest.approx((19 / 4) ** 0.5)}


def test_no_episode_no_score():
    assert mean_score([]) == {}
    assert report(episodes=()).unsafe_commands == 0


def test_people_read_counts_percent_and_centimetres():
    text = printed(report())
    assert "arm_catch: 2 episodes, lockstep, seed 5" in text
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert ["balls caught", "1 of 2 (50.0 %)"] in rows
    assert ["guard, input to output, p50 / p99", "0.20 / 0.30 ms"] in rows
    assert ["camera frame to command, p50 / p99", "20.00 / 20.00 ms"] in rows
    assert ["missed deadlines", "4"] in rows
    assert ["unsafe commands", "3"] in rows
    assert ["guard: command: too old", "3 x"] in rows
    assert ["artifact of policy", 12 * "b"] in rows
    assert ["trajectory sha256", 12 * "a"] in rows


def test_people_read_errors_in_centimetres_and_other_figures_as_they_are():
    text = printed(report(episodes=(episode(tracking_rmse_m=0.0123, mean_reward=1.5),)))
    assert "tracking rmse" in text
    assert "1.23 cm" in text
    assert "mean reward" in text


def test_reasons_with_brackets_are_printed_as_they_are():
    assert "guard: joints [a]" in printed(report(rejections={"guard": {"joints [a]": 1}}))


def test_a_report_is_written_whole(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("before")
    made = report()
    write_report(made, path)
    assert json.loads(path.read_text()) == made.model_dump()
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "nowhere" / "report.json"
    with pytest.raises(ReflexarcError) as refused:
        write_report(report(), path)
    assert str(refused.value) == f"{path}: the report cannot be written (No such file or directory)."


def test_what_ran_in_the_end_is_told_where_it_was_swapped():
    flow = load_flow("arm_catch")
    begun = {"perception": "a" * 64, "policy": "b" * 64}
    ended = result(artifacts={"perception": "a" * 64, "policy": "c" * 64})
    report = make_report(flow, "realtime", 0, ended, begun)
    assert (report.artifacts, report.swapped) == (begun, {"policy": "c" * 64})
    output = StringIO()
    print_report(report, Console(file=output, width=100))
    assert "artifact of policy, in the end" in output.getvalue()
    assert "artifact of perception, in the end" not in output.getvalue()
