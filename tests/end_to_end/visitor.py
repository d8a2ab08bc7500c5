"""Somebody who comes to a running flow with whatever transport the environment gives, and tries everything.

`python visitor.py FLOW.json SECONDS`: reads every topic, writes to every topic, looks for every service, and
prints what came of it as JSON. It ends early when it has got everything.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import SetParameters
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from reflexarc.control.flow import Flow
from reflexarc.control.nodes.description import TWIN
from reflexarc.control.nodes.messages import message_class
from reflexarc.control.nodes.module_client import guest
from reflexarc.control.nodes.qos import offered_qos


def kinds_of(flow: Flow) -> dict:
    ports = [port for node in ("plant", *flow.modules) for port in flow.outputs(node).values()]
    return {
        **{f"/{port.topic}": message_class(port.type) for port in ports},
        "/clock": Clock,
        "/diagnostics": DiagnosticArray,
        "/rosout": Log,
    }


def graph_of(node: Node) -> dict:
    kinds = ("publisher_names", "subscriber_names", "service_names", "client_names")
    return {
        name: [
            sorted(n for n, _ in getattr(node, f"get_{kind}_and_types_by_node")(name, namespace))
            for kind in kinds
        ]
        for name, namespace in node.get_node_names_and_namespaces()
        if name != node.get_name()
    }


def spin_until(executor: Executor, is_done: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not is_done() and time.monotonic() < until:
        executor.spin_once(timeout_sec=0.05)


def main(flow_file: str, seconds: float) -> None:
    flow = Flow.model_validate_json(Path(flow_file).read_bytes())
    kinds = kinds_of(flow)
    heard: Counter[str] = Counter()
    refused: dict[str, str] = {}

    def take(topic: str, message: Any) -> None:
        heard[topic] += 1
        for line in message.status if topic == "/diagnostics" else ():
            if line.name == "guard":
                refused.update({v.key: v.value for v in line.values if v.key.startswith("command: no")})

    with guest("visitor") as (node, executor):
        best = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        for topic, kind in kinds.items():
            node.create_subscription(kind, topic, partial(take, topic), best)
        services = [
            node.create_client(kind, f"{name}/{service}")
            for name in flow.modules
            for kind, service in ((ChangeState, "change_state"), (SetParameters, "set_parameters"))
        ]
        streams = set(kinds) - {"/rosout", "/camera/camera_info"}  # these two speak once

        def has_all() -> bool:
            is_complete = {*flow.modules, TWIN} <= set(node.get_node_names())
            return is_complete and streams <= set(heard) and all(c.service_is_ready() for c in services)

        spin_until(executor, has_all, seconds / 2)
        result = {
            "heard": dict(heard),
            "services": sum(client.service_is_ready() for client in services),
            "graph": graph_of(node),
            "refused_before": dict(refused),
        }
        # Own words would be heard here, so only now, and only where the flow reads.
        read = [flow.port(source) for n in ("plant", *flow.modules) for source in flow.inputs(n).values()]
        writers = {
            f"/{port.topic}": node.create_publisher(
                message_class(port.type), port.topic, offered_qos(port, "realtime")
            )
            for port in read
        }

        def is_refused() -> bool:
            for topic, writer in writers.items():
                writer.publish(kinds[topic]())
            return bool(refused)

        spin_until(executor, is_refused, seconds / 2)
        result["reached"] = [t for t in sorted(writers) if writers[t].get_subscription_count() > 1]
        print(json.dumps({**result, "refused": refused}), flush=True)
        # Without a goodbye: there Fast DDS's TCP transport has aborted once ("local_endpoint: Bad file descriptor").
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
