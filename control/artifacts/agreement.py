"""Agreement: the contracts of a flow: on every edge, does the guarantee lie inside what is assumed?"""

from collections.abc import Mapping

from reflexarc.control.artifacts.artifact import Manifest
from reflexarc.control.contracts import Violation, compare
from reflexarc.control.flow import Flow

__all__ = ["flow_violations"]


def flow_violations(flow: Flow, manifests: Mapping[str, Manifest]) -> list[Violation]:
    """Every edge between two trained modules whose consumer is not covered any more.

    Args:
        flow: The flow.
        manifests: Per module, that of the artifact to be judged; modules without one are left out.
    """
    found = []
    for consumer, manifest in manifests.items():
        for port, assumption in manifest.assumes.items():
            source = flow.modules[consumer].inputs.get(port)
            for producer in flow.producers(source) if source else ():
                if producer.node in manifests:
                    guarantee = manifests[producer.node].guarantees.get(producer.port, {})
                    found += compare(str(producer), guarantee, f"{consumer}.{port}", assumption)
    return found
