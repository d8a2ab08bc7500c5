"""Whole flows in real time need the machine for themselves; in lock step time means nothing."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing runs beside what runs over ROS 2 here, but for what is marked as going in lock step."""
    for item in items:
        if item.path.is_relative_to(HERE) and _goes_by_time(item):
            item.add_marker(pytest.mark.alone)


def _goes_by_time(item: pytest.Item) -> bool:
    return item.get_closest_marker("ros") is not None and item.get_closest_marker("lockstep") is None
