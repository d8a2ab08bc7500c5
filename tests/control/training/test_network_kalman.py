import numpy as np
import torch

from reflexarc.control.modules.network import Network
from reflexarc.control.training.export import export_network
from reflexarc.control.training.network_kalman import KalmanCell


def rows(place, *, age=0.03, sigma_cm=1.0, count=1):
    row = torch.zeros(count, 8)
    row[:, 0], row[:, 1] = 1.0, age
    row[:, 2:5] = torch.as_tensor(place, dtype=torch.float32)
    row[:, 5:] = float(np.log(sigma_cm))
    return row


NOTHING = torch.zeros(1, 8)


def fly(cell, ticks, every=2, wrong=()):
    """A fall seen every second tick, 30 ms late; the error of the position at each tick, m."""
    cell.gravity.data[2] = -0.981
    state, errors = torch.zeros(1, cell.state_size), []
    for tick in range(ticks):
        time = 0.01 * tick
        measurement = NOTHING
        if tick >= 3 and tick % every == 0:
            then = time - 0.03
            place = [1.0 - 2.0 * then, 0.1, 1.0 + 2.0 * then - 4.905 * then**2]
            measurement = rows([5.0, 5.0, 5.0] if tick in wrong else place)
        state, estimate = cell(state, measurement)
        truth = torch.tensor([1.0 - 2.0 * time, 0.1, 1.0 + 2.0 * time - 4.905 * time**2])
        errors.append(float((estimate[0, 1:4] - truth).detach().norm()) if estimate[0, 0] > 0.5 else np.nan)
    return errors, estimate


def test_it_knows_nothing_until_something_was_seen():
    cell = KalmanCell(0.01)
    state, estimate = cell(torch.zeros(1, 18), NOTHING)
    assert not estimate[0, :7].any()
    _, estimate = cell(state, rows([0.5, -0.2, 0.8]))
    assert estimate[0, 0] == 1.0
    assert torch.allclose(estimate[0, 1:4], torch.tensor([0.5, -0.2, 0.8]), atol=1e-5)


def test_late_detections_of_a_fall_give_where_it_is_now_and_how_fast():
    errors, estimate = fly(KalmanCell(0.01), 40)
    assert errors[-1] < 0.01
    assert torch.allclose(estimate[0, 4:7], torch.tensor([-2.0, 0.0, 2.0 - 9.81 * 0.39]), atol=0.2)


def test_something_else_is_left_out():
    assert fly(KalmanCell(0.01), 40, wrong=(36, 38))[0][-1] < 0.01


def test_it_flies_on_unseen_and_is_less_sure():
    cell = KalmanCell(0.01)
    state = torch.zeros(1, 18)
    state, first = cell(state, rows([0.5, 0.0, 0.5]))
    for _ in range(10):
        state, last = cell(state, NOTHING)
    assert (last[0, 7:10] > first[0, 7:10]).all()


def test_a_track_that_nothing_fits_starts_anew():
    cell = KalmanCell(0.01)
    state = torch.zeros(1, 18)
    for _ in range(5):
        state, _ = cell(state, rows([0.0, 0.0, 0.0]))
    for _ in range(30):
        state, estimate = cell(state, rows([3.0, 3.0, 3.0]))
    assert torch.allclose(estimate[0, 1:4], torch.full((3,), 3.0), atol=0.2)


def test_the_exported_graph_gives_the_same():
    cell = KalmanCell(0.01)
    files = export_network(
        cell, {"state": torch.zeros(1, 18), "measurement": NOTHING}, ["next_state", "estimate"]
    )
    network = Network(files["model.onnx"], "kalman")
    state = torch.zeros(2, 18)
    for place in ([0.1, 0.2, 0.3], [0.1, 0.22, 0.3], [0.12, 0.2, 0.3]):
        given = rows(place, count=2)
        found = network(state=state.numpy(), measurement=given.numpy())
        state, estimate = (tensor.detach() for tensor in cell(state, given))
        assert np.allclose(found[0], state.numpy(), atol=1e-5)
        assert np.allclose(found[1], estimate.numpy(), atol=1e-5)
