from reflexarc.envs.throughput import measure


def test_all_three_are_measured():
    rates = measure("reflexarc/ArmTrack-v0", 8, 0.5)
    assert set(rates) == {"bare_batch", "batched", "subproc"}
    assert all(rate > 0 for rate in rates.values())
