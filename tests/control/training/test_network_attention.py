import numpy as np
import pytest
import torch

from reflexarc.control.modules.network import Network
from reflexarc.control.training.export import export_network
from reflexarc.control.training.network_attention import AttentionCell

NOTHING = torch.zeros(1, 8)


def row(place, age=0.03):
    return torch.tensor([[1.0, age, *place, 0.0, 0.0, 0.0]])


@pytest.fixture
def cell():
    torch.manual_seed(0)
    return AttentionCell(0.01)


def test_it_knows_nothing_until_something_was_seen_and_again_when_that_is_long_ago(cell):
    state = torch.zeros(1, cell.state_size)
    state, estimate = cell(state, NOTHING)
    assert not estimate[0, :7].any()
    state, estimate = cell(state, row([0.5, -0.2, 0.8]))
    assert estimate[0, 0] == 1.0
    known = []
    for _ in range(70):
        state, estimate = cell(state, NOTHING)
        known.append(bool(estimate[0, 0] > 0.5))
    assert all(known[:55])
    assert not any(known[60:]), "it is 0.6 s ago"
    assert torch.isfinite(estimate).all()


def test_detections_on_a_line_are_followed_before_anything_is_learned(cell):
    with torch.no_grad():
        cell.acceleration.weight.zero_()
        cell.acceleration.bias.zero_()
    state = torch.zeros(1, cell.state_size)
    for tick in range(30):
        then = 0.01 * tick - 0.03
        state, estimate = cell(state, row([2.0 * then, 0.0, 1.0]) if tick % 2 == 0 else NOTHING)
    assert torch.allclose(estimate[0, 1:4], torch.tensor([0.58, 0.0, 1.0]), atol=0.01)
    assert torch.allclose(estimate[0, 4:7], torch.tensor([2.0, 0.0, 0.0]), atol=0.05)


def test_the_newest_detections_are_kept(cell):
    state = torch.zeros(1, cell.state_size)
    for count in range(30):
        state, _ = cell(state, row([float(count), 0.0, 0.0]))
    places = state.reshape(24, 8)[:, 2]
    assert places.tolist() == [float(count) for count in range(29, 5, -1)]


def test_the_exported_graph_gives_the_same(cell):
    size = cell.state_size
    files = export_network(
        cell, {"state": torch.zeros(1, size), "measurement": NOTHING}, ["next_state", "estimate"]
    )
    network = Network(files["model.onnx"], "attention")
    state = torch.zeros(2, size)
    for place in ([0.1, 0.2, 0.3], [0.1, 0.22, 0.3], [0.12, 0.2, 0.3]):
        given = row(place).expand(2, 8)
        found = network(state=state.numpy(), measurement=given.numpy())
        state, estimate = (tensor.detach() for tensor in cell(state, given))
        assert np.allclose(found[0], state.numpy(), atol=1e-5)
        assert np.allclose(found[1], estimate.numpy(), atol=1e-4)
