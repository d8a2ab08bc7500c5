"""What nine parallel systems cost: processor time of each node, against the plain flow, and what the votes add.

    python examples/cost_of_redundancy.py [--rounds 2] [--seconds 10] [--json FILE]

It runs the plain flow and the redundant one in real time, in turns, and reads the processor time of each process
between two moments of flow time, so that what starting them costs does not count. A voter's step is measured by its
node, from the arrival of the last output that it waited for until its own is published; and, in one process with
nothing beside it, without its messages and without waiting for a core.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from flow_running import flow_running

from reflexarc.control.artifacts.store import SHIPPED_STORE, resolve_artifacts
from reflexarc.control.commands.run import require_writable
from reflexarc.control.files import write_whole
from reflexarc.control.flow_file import load_flow
from reflexarc.control.local import LocalRuntime
from reflexarc.control.module import Inputs, Outputs
from reflexarc.control.modules import make_module
from reflexarc.control.nodes.environment import joined
from reflexarc.control.redundancy.members import VOTER
from reflexarc.control.seeds import evaluation_seeds
from reflexarc.envs.twin import make_plant

FLOWS = ("arm_catch", "arm_catch_3x3")
TWIN = "twin"
UP_WITHIN_S = 90.0
_USER, _SYSTEM = 11, 12
"""Fields of /proc/PID/stat after the name of the program, see proc(5)."""


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")


def look(flow_name: str, seconds: float, store: Path, real_time_factor: float) -> dict[str, Any]:
    """Processor time per node and second of flow time, and the median step of each voter in ms."""
    flow = load_flow(flow_name)
    factor = ("--real-time-factor", str(real_time_factor))
    with (
        tempfile.TemporaryDirectory(prefix="cost-") as folder,
        flow_running(flow_name, store, Path(folder) / "sim.log", UP_WITHIN_S, factor) as running,
        joined(running.environment, running.directory),
    ):
        from rclpy.qos import qos_profile_sensor_data  # noqa: PLC0415 it reads the environment
        from rosgraph_msgs.msg import Clock  # noqa: PLC0415

        from reflexarc.control.nodes.module_client import ModuleClient, guest  # noqa: PLC0415

        now_s = 0.0

        def take(message: Any) -> None:
            nonlocal now_s
            now_s = message.clock.sec + 1e-9 * message.clock.nanosec

        with guest("look") as (node, executor):
            node.create_subscription(Clock, "/clock", take, qos_profile_sensor_data)
            client = ModuleClient(node, executor)
            while now_s < 3.0:
                client.spin()
            nodes = (TWIN, *flow.modules)
            begin_s, before = now_s, {name: cpu_s(running.pid_of(name)) for name in nodes}
            while now_s < begin_s + seconds:
                client.spin()
            passed = now_s - begin_s
            shares = {name: (cpu_s(running.pid_of(name)) - before[name]) / passed for name in nodes}
            voters = [name for name, spec in flow.modules.items() if spec.kind == VOTER]
            steps = {name: float(client.figures(name)["step_p50_ms"]) for name in voters}
    return {"cpu": shares, "voter_step_p50_ms": steps}


def own_steps_ms(flow_name: str, store: Path, episodes: int = 5) -> dict[str, float]:
    """Median step of each voter by itself, ms."""
    flow = load_flow(flow_name)
    artifacts = resolve_artifacts(flow, store)
    modules = {name: make_module(spec, artifacts.get(name)) for name, spec in flow.modules.items()}
    took: dict[str, list[float]] = {name: [] for name, spec in flow.modules.items() if spec.kind == VOTER}

    def timed(name: str) -> None:
        step = modules[name].step

        def stepped(inputs: Inputs, now_ns: int) -> Outputs:
            begin = time.perf_counter()
            outputs = step(inputs, now_ns)
            took[name].append(1e3 * (time.perf_counter() - begin))
            return outputs

        modules[name].step = stepped  # type: ignore[method-assign]

    for name in took:
        timed(name)
    plant = make_plant(flow.plant.env, flow.plant.outputs, flow.plant.parameters)
    runtime = LocalRuntime(flow, modules, plant)
    for seed in evaluation_seeds(0, episodes):
        runtime.run_episode(seed)
    return {name: median(times) for name, times in took.items()}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--real-time-factor", type=float, default=0.5)
    parser.add_argument("--store", type=Path, default=SHIPPED_STORE)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.json is not None:
        require_writable(arguments.json)
    looks: dict[str, list[dict[str, Any]]] = {name: [] for name in FLOWS}
    for _ in range(arguments.rounds):
        for name in FLOWS:
            looks[name].append(look(name, arguments.seconds, arguments.store, arguments.real_time_factor))
    totals = {name: median(sum(one["cpu"].values()) for one in found) for name, found in looks.items()}
    for name, found in looks.items():
        print(f"{name}: {totals[name]:.2f} s of processor time per second of flow time")
        for node in found[0]["cpu"]:
            print(f"  {node}: {median(one['cpu'][node] for one in found):.3f}")
        for voter in found[0]["voter_step_p50_ms"]:
            print(f"  {voter}: step p50 {median(one['voter_step_p50_ms'][voter] for one in found):.2f} ms")
    print(f"ratio: {totals[FLOWS[1]] / totals[FLOWS[0]]:.2f}")
    own = own_steps_ms(FLOWS[1], arguments.store)
    for voter, step_ms in own.items():
        print(f"{voter}: step by itself p50 {step_ms:.2f} ms")
    if arguments.json is not None:
        write_whole(
            arguments.json,
            json.dumps({"totals": totals, "looks": looks, "own_step_p50_ms": own}, indent=1) + "\n",
        )


if __name__ == "__main__":
    main()
