"""Whole flows in real time need the machine for themselves."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing runs beside what runs over ROS 2 here."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("ros"):
            item.add_marker(pytest.mark.alone)
