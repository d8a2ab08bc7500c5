"""`reflexarc replay`: a module is given what it was given in a recording, and its outputs are compared."""

import json as json_format
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console

from reflexarc.control.artifacts.store import SHIPPED_STORE, load_pinned
from reflexarc.control.commands.record import require_mcap
from reflexarc.control.commands.run import require_writable
from reflexarc.control.errors import FlowError, ReflexarcError, did_you_mean
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.environment import require_ros, shared_memory_cleaned

if TYPE_CHECKING:
    from reflexarc.control.nodes.bag_reader import Bag
    from reflexarc.control.nodes.replay import ReplayResult

__all__ = ["run_replay"]


def run_replay(
    path: Path, modules: Sequence[str], flow: str | None, store: Path | None, json: Path | None
) -> bool:
    """Replay modules of a recording, and print what came of each.

    Args:
        path: The bag.
        modules: Names; none for all of the flow.
        flow: Name or path of a flow, instead of that in the bag.
        store: Folder of the artifacts; None for those that ship.
        json: Where to write it as data, too.

    Returns:
        Whether each module whose artifact made the recording gives the same outputs, bit for bit.

    Raises:
        ReflexarcError: The bag cannot be read, or holds nothing of the module; there is no such module or artifact.
    """
    require_ros()
    require_mcap()
    if json is not None:
        require_writable(json)
    console = Console(soft_wrap=True, highlight=False)
    with shared_memory_cleaned():
        from reflexarc.control.nodes.bag_reader import open_bag
        from reflexarc.control.nodes.replay import replay

        bag = open_bag(path)
        for name, messages in bag.recovered.items():
            console.print(f"{name} was cut off; its {messages} whole messages were recovered", markup=False)
        flow_found = _flow_of(bag) if flow is None else load_flow(flow)
        for name in modules:
            if name not in flow_found.modules:
                raise FlowError(
                    f"flow {flow_found.name} has no module '{name}'. {did_you_mean(name, flow_found.modules)}"
                )
        results = []
        for name in modules or flow_found.modules:
            is_trained = flow_found.modules[name].artifact is not None
            artifact = load_pinned(flow_found, name, store or SHIPPED_STORE) if is_trained else None
            results.append(replay(bag, flow_found, name, artifact))
            for line in _lines(results[-1]):
                console.print(line, markup=False)
    if json is not None:
        write_whole(json, json_format.dumps([asdict(result) for result in results], indent=1) + "\n")
    return all(result.is_good for result in results)


def _flow_of(bag: "Bag") -> Flow:
    from reflexarc.control.nodes.recorder import FLOW

    text = bag.metadata.get(FLOW, {}).get("flow")
    if text is None:
        raise ReflexarcError(f"{bag.path}: does not say which flow was recorded. Name it: --flow.")
    try:
        return Flow.model_validate_json(text)
    except ValidationError as error:
        raise ReflexarcError(
            f"{bag.path}: its flow is of another version ({error.errors()[0]['msg']}). Name one: --flow."
        ) from None


def _lines(result: "ReplayResult") -> list[str]:
    what = f"{result.module}: {result.steps} steps"
    if result.artifact is not None:
        what += f", replayed with {result.artifact[:12]}" + (
            "" if result.is_same else ", recorded with another artifact"
        )
    if result.is_same or result.equal == result.judged:
        lines = [what, f"  {result.equal} of {result.judged} that can be judged are equal, bit for bit"]
    else:
        lines = [what, f"  {result.judged} compared; largest difference in a step, p50 and p95:"]
        lines += [f"    {name}: {p50:.3g}, {p95:.3g}" for name, (p50, p95) in result.differences.items()]
    lines += [f"  {count} not judged: {reason}" for reason, count in result.not_judged.items()]
    if result.not_judged:
        lines.append(f"  {result.equal_anyway} of these are equal all the same")
    if result.first:
        lines.append(f"  first difference: {result.first}")
    if not result.judged:
        lines.append("  nothing could be judged: record over the beginning of an episode")
    return lines
