"""How the tests of the command line start it: as a user does, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Reflexarc = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def reflexarc(tmp_path: Path) -> Reflexarc:
    """Runs `reflexarc ...` in an empty folder, with a wide terminal."""

    def run(
        *arguments: str, within_s: float = 60.0, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "reflexarc.control.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    return run
