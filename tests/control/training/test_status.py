import pytest

from reflexarc.control.artifacts.artifact import load_artifact, write_artifact
from reflexarc.control.artifacts.store import load_pinned, pin, read_lock, write_lock
from reflexarc.control.contracts import Assumption
from reflexarc.control.training.status import flow_status


def states(flow, store):
    return {status.module: (status.state, status.causes) for status in flow_status(flow, store)}


def retrained(flow, store, module, **changes):
    """Pins another artifact of a module, as a retraining would."""
    old = load_pinned(flow, module, store)
    files = {name: (old.folder / name).read_bytes() for name in old.manifest.files}
    new = write_artifact(store, old.manifest.model_copy(update=changes), files)
    pin(store, flow.name, module, new.digest)


def test_what_was_just_trained_is_up_to_date(trained):
    found = flow_status(trained.flow, trained.store)
    assert [status.module for status in found] == ["perception", "estimation", "policy"]
    assert {status.module: status.digest for status in found} == trained.digests
    assert all((status.state, status.causes) == ("up to date", ()) for status in found)


def test_a_change_of_the_flow_makes_its_module_stale_and_what_is_trained_on_it(trained, store):
    module = trained.flow.modules["estimation"]
    training = module.training.model_copy(update={"parameters": {"hidden": 8}})
    changed = trained.flow.model_copy(
        update={
            "modules": {
                **trained.flow.modules,
                "estimation": module.model_copy(update={"training": training}),
            }
        }
    )
    assert states(changed, store) == {
        "perception": ("up to date", ()),
        "estimation": ("stale", ("config",)),
        "policy": ("stale", ("upstream: estimation",)),
    }


def test_a_change_of_the_plant_makes_all_stale(trained, store):
    plant = trained.flow.plant.model_copy(update={"parameters": {"camera": {"depth_noise": 2.0}}})
    found = states(trained.flow.model_copy(update={"plant": plant}), store)
    assert all(state == "stale" and causes[0] == "environment" for state, causes in found.values())


def test_what_is_retrained_makes_stale_what_was_trained_on_it(trained, store):
    retrained(trained.flow, store, "perception", constants={})
    assert states(trained.flow, store) == {
        "perception": ("up to date", ()),
        "estimation": ("stale", ("upstream: perception",)),
        "policy": ("stale", ("upstream: perception", "upstream: estimation")),
    }


def test_a_training_that_a_budget_ended_is_stale(trained, store):
    retrained(trained.flow, store, "policy", completed=0.25)
    assert states(trained.flow, store)["policy"] == (
        "stale",
        ("budget: 25 % of its training was done",),
    )


def test_an_altered_file_is_named(trained, store):
    (model,) = store.glob("estimation-*/model.onnx")
    model.write_bytes(model.read_bytes() + b"x")
    found = states(trained.flow, store)
    state, (cause,) = found["estimation"]
    assert state == "altered"
    assert cause.startswith(f"{model}: altered")
    assert found["policy"] == ("stale", ("upstream: estimation",))


def test_what_was_never_trained_says_so(trained, tmp_path):
    found = flow_status(trained.flow, tmp_path)
    assert {(status.state, status.digest, status.contract) for status in found} == {
        ("not trained", None, "unknown")
    }


def test_a_need_that_is_gone_is_said(trained, store):
    lock = read_lock(store, trained.flow.name)
    del lock["perception"]
    write_lock(store, trained.flow.name, lock)
    found = states(trained.flow, store)
    assert found["perception"] == ("not trained", ())
    state, (cause, *_) = found["estimation"]
    assert (state, cause) == (
        "stale",
        "estimation: its training needs perception, which is not trained. "
        "Train it first: reflexarc train --flow arm_track --module perception",
    )


@pytest.mark.parametrize(("rmse_m", "contract"), [(0.01, "kept"), (0.03, "broken")])
def test_the_contract_is_that_of_what_reaches_it(trained, store, rmse_m, contract):
    retrained(trained.flow, store, "policy", assumes={"odometry": Assumption(bounds={"rmse_m": 0.02})})
    retrained(trained.flow, store, "estimation", guarantees={"odometry": {"rmse_m": rmse_m}}, assumes={})
    found = {status.module: status for status in flow_status(trained.flow, store)}
    assert found["policy"].contract == contract
    assert [violation.value for violation in found["policy"].violations] == [rmse_m] * (contract == "broken")
    assert found["estimation"].contract == "kept"


def test_an_artifact_of_another_kind_is_no_crash(trained, store):
    digest = trained.digests["estimation"]
    old = load_artifact(store / f"estimation-{digest[:12]}", digest)
    files = {name: (old.folder / name).read_bytes() for name in old.manifest.files}
    other = write_artifact(store, old.manifest.model_copy(update={"module": "policy"}), files)
    pin(store, trained.flow.name, "policy", other.digest)
    assert states(trained.flow, store)["policy"][0] == "stale"
