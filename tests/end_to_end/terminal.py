"""A terminal beside a flow that runs in real time, as a user has it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.nodes.environment import joined
from reflexarc.control.nodes.module_client import ModuleClient, guest
from reflexarc.control.nodes.running import RunningFlow

MANY = "5000"
"""Episodes: more than a test waits for."""


class Terminal:
    """Runs `reflexarc` where only the flow of these tests is found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        shutil.copytree(SHIPPED_STORE, self.store)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = {n: v for n, v in os.environ.items() if n != "ROS_DOMAIN_ID"}
        return subprocess.Popen(
            [sys.executable, "-m", "reflexarc.control.cli", *arguments],
            env={**environment, "TMPDIR": str(self.folder), "COLUMNS": "160"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=90)
        return process.returncode, output, errors

    @contextmanager
    def flow(self, name: str, clock: str = "realtime") -> Iterator[None]:
        """The flow, up, and in the end down again, with nothing left."""
        flow = self.start(
            "sim", "--flow", name, "--clock", clock, "--episodes", MANY, "--store", str(self.store)
        )
        try:
            until = time.monotonic() + 60
            while self.note() is None:
                assert flow.poll() is None, flow.stderr.read()
                assert time.monotonic() < until
                time.sleep(0.1)
            yield
            assert flow.poll() is None, flow.stderr.read()
        finally:
            flow.terminate()
            flow.communicate(timeout=30)
        assert self.note() is None

    def note(self) -> RunningFlow | None:
        paths = list(self.folder.glob("reflexarc-*/run.json"))
        return RunningFlow.model_validate_json(paths[0].read_bytes()) if paths else None

    def episodes(self) -> int:
        """How many are over."""
        running = self.note()
        assert running is not None
        path = running.directory / "episodes.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def wait_for_episodes(self, count: int, within_s: float = 120.0) -> None:
        """Wait until so many more are over."""
        until, wanted = time.monotonic() + within_s, self.episodes() + count
        while self.episodes() < wanted:
            assert time.monotonic() < until
            time.sleep(0.05)

    def figures(self, *nodes: str) -> list[dict[str, str]]:
        running = self.note()
        assert running is not None
        with joined(running.environment, running.directory), guest("listener") as (node, executor):
            client = ModuleClient(node, executor)
            return [client.figures(name) for name in nodes]
