import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load

from reflexarc.control.training.export import export_network
from reflexarc.control.training.networks import FilterCell, HeatMapNetwork


@pytest.mark.parametrize(
    ("network", "example"),
    [
        (
            HeatMapNetwork(channels=8),
            {"color": torch.zeros(1, 32, 16, 3, dtype=torch.uint8), "depth": torch.ones(1, 32, 16)},
        ),
        (FilterCell(0.01, 16), {"state": torch.zeros(1, 28), "measurement": torch.ones(1, 8)}),
    ],
    ids=["heat map", "filter"],
)
def test_what_is_exported_computes_the_same_for_any_batch(network, example):
    names = [f"out_{index}" for index in range(1 if "color" in example else 2)]
    files = export_network(network, example, names)
    assert files == export_network(network, example, names)
    session = onnxruntime.InferenceSession(files["model.onnx"], providers=["CPUExecutionProvider"])
    for batch in (1, 7):
        inputs = {name: tensor.repeat(batch, *[1] * (tensor.ndim - 1)) for name, tensor in example.items()}
        with torch.no_grad():
            expected = network(**inputs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        for one, other in zip(found, expected, strict=True):
            assert np.allclose(one, other.numpy(), atol=1e-5)
    assert set(load(files["weights.safetensors"])) == set(network.state_dict())


def test_the_folder_of_the_training_does_not_show():
    files = export_network(torch.nn.Linear(2, 2), {"input": torch.zeros(1, 2)}, ["output"])
    assert b".py" not in files["model.onnx"]
