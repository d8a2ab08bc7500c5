import numpy as np
import pytest

from reflexarc.control.errors import ArtifactError
from reflexarc.control.modules.network import Network, required_artifact


@pytest.fixture
def artifact(network, written):
    """Two inputs, and their sum and difference; the outputs are declared in that order."""
    return written(
        network(
            {"left": 2, "right": 2},
            {"sum": 2, "difference": 2},
            [("Sub", ["left", "right"], "difference"), ("Add", ["left", "right"], "sum")],
            {},
        )
    )


def test_inputs_go_by_name_and_outputs_come_in_the_order_of_the_model(artifact):
    left, right = np.float32([[1, 2]]), np.float32([[10, 20]])
    total, difference = Network.of(artifact)(right=right, left=left)
    assert total.tolist() == [[11, 22]]
    assert difference.tolist() == [[-9, -18]]


def test_a_batch_goes_through_as_its_rows_do(artifact):
    network = Network.of(artifact)
    left, right = np.random.default_rng(0).standard_normal((2, 5, 2), dtype=np.float32)
    batch, _ = network(left=left, right=right)
    rows = [network(left=left[k : k + 1], right=right[k : k + 1])[0] for k in range(5)]
    assert np.array_equal(batch, np.concatenate(rows))
    assert batch.dtype == np.float32


def test_a_model_that_is_none_is_named(written):
    artifact = written(b"not a model")
    with pytest.raises(ArtifactError) as refused:
        Network.of(artifact)
    assert str(refused.value).startswith(f"{artifact.folder / 'model.onnx'}: cannot be loaded (")


def test_a_model_that_was_altered_is_not_run(artifact):
    path = artifact.folder / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match=r"model\.onnx: altered since it was trained"):
        Network.of(artifact)


def test_a_trained_module_without_artifact_says_what_to_do(artifact):
    assert required_artifact("policy", artifact) is artifact
    with pytest.raises(ArtifactError) as refused:
        required_artifact("policy", None)
    assert str(refused.value) == "policy: needs a trained artifact. Name one in the flow file, or train it."
