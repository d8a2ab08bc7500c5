"""What every test of this folder needs: the ROS 2 wheels, and field checks in the generated messages."""

import os
import warnings

import pytest

os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"  # read once, when a generated message module is imported
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

with warnings.catch_warnings():
    # rosidl's parser imports lark, which imports sre_parse; neither is ours, and it happens once.
    warnings.filterwarnings("ignore", "module 'sre_(parse|constants)' is deprecated", DeprecationWarning)
    import rosidl_generator_py  # noqa: F401
