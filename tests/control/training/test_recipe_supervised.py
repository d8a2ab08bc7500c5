from reflexarc.control.artifacts.store import load_pinned


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
