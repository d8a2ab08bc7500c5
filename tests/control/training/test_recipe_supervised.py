import numpy as np
import pytest

from reflexarc.control.artifacts.store import load_pinned
from reflexarc.control.errors import TrainingError
from reflexarc.control.training.job import Job
from reflexarc.control.training.recipe_supervised import train_perception


def test_a_perception_says_what_it_guarantees_and_what_it_saw(trained):
    artifact = load_pinned(trained.flow, "perception", trained.store)
    manifest = artifact.manifest
    assert set(manifest.guarantees) == set(trained.flow.modules["perception"].outputs)
    assert {"unknown_share", "wrong_share", "bias_m", "rmse_m"} <= set(manifest.guarantees["detection"])
    assert set(manifest.assumes) == {"color", "depth"}
    low, high = manifest.assumes["color"].seen["brightness"]
    assert 0 < low < high < 255
    assert set(manifest.assumes["depth"].seen) == {"measured_share", "depth_m"}
    assert all(not assumption.bounds for assumption in manifest.assumes.values())
    assert {"threshold_logit", "sigma_coefficients", "error_model", "camera_pose"} <= set(manifest.constants)
    assert "lag_s" in artifact.metrics
    assert set(manifest.files) == {"model.onnx", "weights.safetensors", "metrics.json"}


def test_recorded_images_of_another_size_are_refused_before_any_are_made(trained, tmp_path, checkpoints):
    def never(*_):
        raise AssertionError("images were made")

    job = Job(
        flow=trained.flow,
        spec=trained.flow.modules["perception"],
        upstream={},
        seed=0,
        changes={},
        data={"color": np.zeros((2, 64, 48, 3), dtype=np.uint8)},
        log_dir=tmp_path,
        checkpoints=checkpoints,
        progress=never,
    )
    with pytest.raises(TrainingError, match=r"the recorded images have 64 x 48 px, those of .* 128 x 80"):
        train_perception(job)
