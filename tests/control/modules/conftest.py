"""Small networks of known weights, written to artifacts as a training writes them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from reflexarc.control.artifacts.artifact import Manifest, write_artifact


@pytest.fixture
def written(tmp_path):
    """Writes an artifact around a model, given as bytes."""

    def write(model, constants=None, kind="policy"):
        manifest = Manifest(
            module=kind,
            kind=kind,
            flow="some_flow",
            trainer="supervised",
            ports={},
            constants=constants or {},
            code_digest="c",
            environment_digest="e",
            config_digest="d",
            upstream={},
            seed=0,
            libraries={},
        )
        return write_artifact(tmp_path, manifest, {"model.onnx": model, "metrics.json": b"{}"})

    return write


@pytest.fixture
def network():
    """Makes the bytes of a model: sizes per input and output, nodes, weights by name."""

    def make(inputs, outputs, nodes, weights):
        graph = helper.make_graph(
            [helper.make_node(operator, reads, [writes]) for operator, reads, writes in nodes],
            "network",
            [_vector(name, size) for name, size in inputs.items()],
            [_vector(name, size) for name, size in outputs.items()],
            [numpy_helper.from_array(np.float32(value), name) for name, value in weights.items()],
        )
        # An old pair of versions, which every onnxruntime that the project allows can read.
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
        onnx.checker.check_model(model)
        return model.SerializeToString()

    return make


def _vector(name, size):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
