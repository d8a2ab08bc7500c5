"""Export: a trained torch network to ONNX and safetensors, the same bytes for the same weights."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from safetensors.torch import save
from torch import Tensor, nn

__all__ = ["export_network"]

_OPSET = 18


def export_network(network: nn.Module, example: Mapping[str, Tensor], outputs: list[str]) -> dict[str, bytes]:
    """The files of a trained network, batch size left free.

    Args:
        network: Its forward takes the example's entries by name.
        example: One input per name, batch first.
        outputs: Names of the outputs, in order.

    Returns:
        `model.onnx` and `weights.safetensors`.
    """
    network = network.eval().cpu()
    batch = torch.export.Dim("batch", min=1, max=65536)
    # A batch of one would be frozen into the graph: the exporter takes 1 for a constant.
    doubled = {name: torch.cat([tensor, tensor]) for name, tensor in example.items()}
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            network,
            kwargs=doubled,
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(example),
            output_names=outputs,
            dynamic_shapes={name: {0: batch} for name in example},
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return {"model.onnx": model.SerializeToString(deterministic=True), "weights.safetensors": save(tensors)}


def _strip(model: Any) -> None:
    """Remove what depends on the folder that the training ran in: stack traces and doc strings."""
    del model.metadata_props[:]
    graph = model.graph
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its own progress, and warns of its own deprecated calls; neither is a user's concern."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
