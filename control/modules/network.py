"""An exported network: ONNX in, numpy out, on one thread so that a result does not depend on the machine's load."""

import numpy as np
import numpy.typing as npt

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.errors import ArtifactError

__all__ = ["Network", "required_artifact"]


def required_artifact(module: str, artifact: Artifact | None) -> Artifact:
    """The artifact of a module that cannot run without one.

    Raises:
        ArtifactError: There is none.
    """
    if artifact is None:
        raise ArtifactError(f"{module}: needs a trained artifact. Name one in the flow file, or train it.")
    return artifact


class Network:
    """A frozen network.

    Args:
        model: Bytes of an ONNX file.
        name: What to call it where it cannot be loaded.

    Raises:
        ArtifactError: It cannot be loaded.
    """

    def __init__(self, model: bytes, name: str) -> None:
        import onnxruntime  # noqa: PLC0415 a flow without networks shall not need it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own, undocumented classes
            raise ArtifactError(f"{name}: cannot be loaded ({error}).") from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    @classmethod
    def of(cls, artifact: Artifact) -> "Network":
        """The network of an artifact that was verified."""
        return cls(artifact.model, str(artifact.folder / "model.onnx"))

    def __call__(self, **inputs: npt.NDArray[np.generic]) -> list[npt.NDArray[np.float32]]:
        """The network's outputs, in the order of the model, for inputs by name; batch first."""
        outputs: list[npt.NDArray[np.float32]] = self._session.run(self._outputs, inputs)
        return outputs
