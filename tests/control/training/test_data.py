import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflexarc.control.errors import TrainingError
from reflexarc.control.training.data import check_data, data_path, read_data

IMAGES = {
    "color": np.zeros((3, 8, 6, 3), np.uint8),
    "depth": np.ones((3, 8, 6), np.float32),
    "mask": np.zeros((3, 8, 6), bool),
    "center": np.zeros((3, 3)),
}
EPISODES = {
    "seen": np.zeros((2, 5, 3)),
    "sigma": np.ones((2, 5, 3)),
    "position": np.zeros((2, 5, 3)),
    "velocity": np.zeros((2, 5, 3)),
    "is_valid": np.ones((2, 5), bool),
}
FORMS = {"supervised": IMAGES, "sequence": EPISODES}


@pytest.fixture
def saved(tmp_path):
    def save(arrays, **changes):
        np.savez(tmp_path / "data.npz", **{**arrays, **changes})
        return tmp_path / "data.npz"

    return save


@pytest.mark.parametrize("trainer", FORMS)
def test_what_fits_is_read_as_it_is_without_what_else_is_there(saved, trainer):
    path = saved(FORMS[trainer], note=np.array("from the lab"))
    found = read_data("perception", trainer, path)
    assert list(found) == list(FORMS[trainer])
    for name, array in FORMS[trainer].items():
        assert np.array_equal(found[name], array)


def test_any_float_will_do_and_comes_as_the_trainer_has_it(saved):
    found = read_data("perception", "supervised", saved(IMAGES, depth=np.ones((3, 8, 6), ">f8")))
    assert found["depth"].dtype == np.float32
    assert found["depth"].dtype.isnative


@pytest.mark.parametrize(("trainer", "name"), [(t, name) for t, form in FORMS.items() for name in form])
def test_an_array_that_is_missing_is_named_and_all_that_are_needed(saved, trainer, name):
    path = saved({key: array for key, array in FORMS[trainer].items() if key != name})
    with pytest.raises(TrainingError) as refused:
        check_data("perception", trainer, path)
    assert str(refused.value) == (
        f"{path}: array '{name}' is missing. perception takes {', '.join(FORMS[trainer])}."
    )


@pytest.mark.parametrize(
    ("trainer", "name", "array", "message"),
    [
        (
            "supervised",
            "color",
            np.zeros((3, 8, 6, 3)),
            "'color' is float64 of shape (3, 8, 6, 3), expected uint8",
        ),
        ("supervised", "color", np.zeros((3, 8, 6, 3), np.uint16), "'color' is uint16"),
        ("supervised", "color", np.zeros((3, 8, 6, 4), np.uint8), "expected uint8 of shape (3, 8, 6, 3)"),
        ("supervised", "color", np.uint8(1), "'color' is uint8 of shape (), expected uint8 of shape"),
        (
            "supervised",
            "depth",
            np.ones((3, 8, 7), np.float32),
            "(3, 8, 7), expected float of shape (3, 8, 6)",
        ),
        ("supervised", "depth", np.ones((2, 8, 6), np.float32), "expected float of shape (3, 8, 6)"),
        ("supervised", "depth", np.ones((3, 8, 6), np.uint16), "'depth' is uint16"),
        ("supervised", "mask", np.zeros((3, 8, 6), np.uint8), "expected bool of shape (3, 8, 6)"),
        ("supervised", "center", np.zeros((3, 2)), "expected float of shape (3, 3)"),
        ("sequence", "sigma", np.ones((2, 4, 3)), "(2, 4, 3), expected float of shape (2, 5, 3)"),
        ("sequence", "is_valid", np.ones((2, 5, 1), bool), "expected bool of shape (2, 5)"),
        ("sequence", "seen", np.zeros((2, 5, 3), np.int64), "'seen' is int64"),
        ("sequence", "position", np.full((2, 5, 3), "x"), "'position' is <U1"),
    ],
)
def test_an_array_of_another_kind_or_shape_is_named_with_what_was_expected(
    saved, trainer, name, array, message
):
    with pytest.raises(TrainingError) as refused:
        check_data("perception", trainer, saved(FORMS[trainer], **{name: array}))
    assert f"array '{name}' is " in str(refused.value)
    assert message in str(refused.value)


def test_objects_are_not_unpickled(saved, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = saved(EPISODES, seen=np.array([Evil()], dtype=object))
    with pytest.raises(TrainingError, match=r"data cannot be read \(not an \.npz of plain arrays\)"):
        check_data("estimation", "sequence", path)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"none\.npz: data cannot be read \(No such file or directory\)"):
        check_data("estimation", "sequence", tmp_path / "none.npz")


def test_one_array_alone_is_no_npz(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros((2, 5, 3)))
    with pytest.raises(TrainingError, match=r"not an \.npz of plain arrays"):
        check_data("estimation", "sequence", tmp_path / "one.npy")


@settings(max_examples=200)
@given(st.data())
def test_whatever_else_the_file_holds_is_refused_or_read_and_never_a_crash(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    np.savez_compressed(path, **EPISODES)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(TrainingError):
        read_data("estimation", "sequence", path)


def test_a_trainer_without_data_says_so(saved):
    with pytest.raises(
        TrainingError, match=r"policy: trainer 'reinforcement' takes no recorded data\. Leave out --data"
    ):
        check_data("policy", "reinforcement", saved(EPISODES))


def test_the_store_keeps_data_by_their_digest(tmp_path):
    assert data_path(tmp_path, 64 * "a") == tmp_path / "data" / f"{12 * 'a'}.npz"
