"""What a running flow reports is in tests/end_to_end/test_ros_faults.py."""


def test_without_a_running_flow_it_says_how_to_start_one(reflexarc, tmp_path) -> None:
    done = reflexarc("faults", TMPDIR=str(tmp_path))
    complaint = "reflexarc: no flow is running. Start one with `reflexarc sim --clock realtime`.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", complaint)
