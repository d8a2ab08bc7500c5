"""What both kinds of file share; their tests go through the rest of it: test_flow_file.py, test_robot_file.py."""

import pytest

from reflexarc.control.errors import FlowError
from reflexarc.control.yaml_file import YamlReader, known_names, read_yaml


def test_a_file_that_ships_is_known_by_its_name(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text(name)
    assert known_names(tmp_path) == ["a", "b"]
    assert read_yaml("a", tmp_path, "thing") == (tmp_path / "a.yaml", "a")
    assert read_yaml(str(tmp_path / "b.yaml"), tmp_path / "elsewhere", "thing")[1] == "b"
    with pytest.raises(FlowError, match="c: no such thing"):
        read_yaml("c", tmp_path, "thing")


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(FlowError, match=r"a\.yaml:2: not UTF-8"):
        read_yaml("a", tmp_path, "thing")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"x\.yaml:1: the file is empty\. Write one\."),
        ("[1]", r"x\.yaml:1: a thing is a mapping with the keys a and b\."),
        ("a: [1", r"x\.yaml:1: not YAML: "),
        ("b: 1\na: !!int x", r"x\.yaml:2: 'x' is not a int\."),
    ],
)
def test_text_that_is_no_mapping_is_refused_with_its_line(tmp_path, text, complaint):
    with pytest.raises(FlowError, match=complaint):
        YamlReader(tmp_path / "x.yaml", text, "thing", "a and b", "Write one")
