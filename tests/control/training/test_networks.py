import torch

from reflexarc.control.training.networks import FilterCell, HeatMapNetwork


def test_a_heat_map_has_the_size_of_its_image():
    network = HeatMapNetwork(channels=8)
    heat = network(torch.zeros(2, 128, 80, 3, dtype=torch.uint8), torch.full((2, 128, 80), float("nan")))
    assert heat.shape == (2, 128, 80)
    assert torch.isfinite(heat).all()
    assert (heat < 0).all()  # before training everything is background


def test_a_filter_knows_nothing_until_something_was_seen():
    cell = FilterCell(0.01, 16)
    state = torch.zeros(1, cell.state_size)
    state, estimate = cell(state, torch.zeros(1, 8))
    assert not estimate[0, :7].any()
    seen = torch.tensor([[1.0, 0.0, 0.5, -0.2, 0.8, 0.0, 0.0, 0.0]])
    state, estimate = cell(state, seen)
    assert estimate[0, 0] == 1.0
    assert torch.allclose(estimate[0, 1:4], torch.tensor([0.5, -0.2, 0.8]), atol=0.05)
    assert (estimate[0, 7:] > 0).all()
    _, estimate = cell(state, torch.zeros(1, 8))
    assert estimate[0, 0] == 1.0
