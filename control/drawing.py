"""Drawing: a flow, or its training graph, as text for a terminal, as a Mermaid flowchart and as an SVG.

All three are made of the same nodes and edges. The SVG is laid out in layers after Sugiyama, Tagawa and Toda
(Methods for visual understanding of hierarchical system structures, IEEE SMC 11(2), 1981): layers by longest
path, order within a layer by barycentre, then places by least squares.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from reflexarc.control.deployment import Deployment
from reflexarc.control.flow import PLANT, Flow

__all__ = ["draw_mermaid", "draw_svg", "draw_text"]

_ACTUATORS = "plant, again"
"""The plant's second place in a drawing, where the commands arrive; no module's name has a space."""


def draw_text(flow: Flow, training: bool = False) -> str:
    """The flow in the order data passes, or the order of training, in ASCII.

    Args:
        flow: What to draw.
        training: Draw what each module's training needs instead of the edges of data.
    """
    return "\n".join(_training_lines(flow) if training else _flow_lines(flow))


def draw_mermaid(flow: Flow, training: bool = False) -> str:
    """A Mermaid flowchart.

    Args:
        flow: What to draw.
        training: Draw what each module's training needs instead of the edges of data.
    """
    # With a prefix, no module's name can meet a word of Mermaid's own, such as `end`.
    lines = ["flowchart TB"]
    if training:
        for name in flow.training_order:
            lines.append(f'    node_{name}["{name}<br/>{_trainer(flow, name)}"]')
        for name in flow.training_order:
            lines += [f'    node_{need} -->|"frozen"| node_{name}' for need in _needs(flow, name)]
        return "\n".join(lines)
    lines.append(f'    node_plant(["plant<br/>{_mermaid(flow.plant.env)}"])')
    lines += [f'    node_{name}["{name}<br/>{_mermaid(_pace(flow, name))}"]' for name in flow.order]
    for topic in _topics(flow):
        label = "<br/>".join((topic.name, topic.type, topic.pace))
        lines += [f'    node_{topic.node} -->|"{label}"| node_{consumer}' for consumer, _ in topic.consumers]
        if not topic.consumers:
            lines.append(f'    node_{topic.node} -.-> topic_{topic.node}_{topic.port}(["{label}"])')
    return "\n".join(lines)


def draw_svg(flow: Flow, training: bool = False) -> str:
    """An SVG without scripts, fonts or style sheets of its own, from the sensors above to the actuators below.

    Args:
        flow: What to draw.
        training: Draw what each module's training needs instead of the edges of data.
    """
    boxes, edges = _training_boxes(flow) if training else _flow_boxes(flow)
    title = f"{flow.name}: {'what its training needs' if training else flow.plant.env}"
    layers = _places(boxes, edges)
    return "\n".join(_svg_lines(title, boxes, edges, layers))


@dataclass(frozen=True)
class _Topic:
    """One output port, and who reads it."""

    node: str
    port: str
    name: str
    type: str
    pace: str
    consumers: tuple[tuple[str, str], ...]


def _topics(flow: Flow) -> Iterator[_Topic]:
    for node in (PLANT, *flow.order):
        latency_ms = flow.latency_ticks(node) * flow.tick_ns * 1e-6
        for port, declared in flow.outputs(node).items():
            rate = "once" if declared.rate_hz is None else f"{declared.rate_hz:g} Hz"
            yield _Topic(
                node=node,
                port=port,
                name=declared.topic,
                type=declared.type.value,
                pace=f"{rate}, latency {latency_ms:g} ms",
                consumers=flow.consumers(node, port),
            )


def _pace(flow: Flow, name: str) -> str:
    """What makes a module step."""
    spec = flow.modules[name]
    late = "" if spec.deadline_s is None else f", or after {spec.deadline_s * 1e3:g} ms"
    return f"on {' + '.join(spec.trigger)}{late}"


def _trainer(flow: Flow, name: str) -> str:
    training = flow.modules[name].training
    return training.trainer if training else ""


def _needs(flow: Flow, name: str) -> tuple[str, ...]:
    training = flow.modules[name].training
    return training.needs if training else ()


def _flow_lines(flow: Flow) -> Iterator[str]:
    yield f"{flow.name}: {flow.plant.env}, {flow.plant.rate_hz:g} Hz"
    topics = list(_topics(flow))
    order = (PLANT, *flow.order)
    for position, node in enumerate(order):
        yield ""
        yield node if node == PLANT else f"{node} ({_pace(flow, node)})"
        for topic in topics:
            if topic.node != node:
                continue
            yield f"|  {topic.name} ({topic.type}), {topic.pace}"
            for consumer, port in topic.consumers:
                is_back = consumer != PLANT and order.index(consumer) <= position
                yield f"|    {topic.port} -> {consumer}.{port}{' (back)' if is_back else ''}"
            if not topic.consumers:
                yield f"|    {topic.port} -> nobody in this flow"
        yield "v"
    yield ""
    yield f"plant (acts on {', '.join(flow.plant.inputs)})"
    if flow.deployment is not None:
        yield from _place_lines(flow.deployment)
        yield from _crossing_lines(flow, flow.deployment)


def _place_lines(deployment: Deployment) -> Iterator[str]:
    """Which modules share a process, and the processes of each host."""
    yield ""
    yield "processes"
    for name, process in deployment.processes.items():
        where = (
            "" if process.host is None else f" on {process.host} ({deployment.hosts[process.host].address})"
        )
        yield f"   {name}{where}: {', '.join(process.modules)}"


def _crossing_lines(flow: Flow, deployment: Deployment) -> Iterator[str]:
    """The topics that go over the network."""
    if not deployment.hosts:
        return
    yield "between hosts"
    for topic in _topics(flow):
        here = _host_of(deployment, topic.node)
        there = {_host_of(deployment, consumer) for consumer, _ in topic.consumers} - {here}
        if there:
            yield f"   {topic.name}, {topic.pace}: {here} -> {', '.join(sorted(there))}"


def _host_of(deployment: Deployment, node: str) -> str:
    return deployment.host_of("twin" if node == PLANT else node) or node


def _training_lines(flow: Flow) -> Iterator[str]:
    yield f"{flow.name}: order of training"
    yield ""
    order = flow.training_order
    if not order:
        yield "No module of this flow is trained."
    width = max(map(len, order), default=0)
    for rank, name in enumerate(order, start=1):
        needs = ", ".join(_needs(flow, name))
        on = f"on frozen {needs}" if needs else "on its own"
        yield f"{rank}. {name:{width}}  {_trainer(flow, name):13}  {on}"


def _mermaid(text: str) -> str:
    """Text inside a quoted label, by Mermaid's entity codes."""
    codes = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "\n": " "}
    return "".join(codes.get(character, character) for character in text)


# ---------------------------------------------------------------------------------------------------------
# The SVG: boxes and edges, then places, then shapes. Lengths are in px.

_GAP_X = 26
_GAP_Y = 34
_MARGIN = 28
_TITLE_HEIGHT = 40
_LINE_HEIGHT = 16
_LETTER = 6.7
"""Width of a letter of 11 px in the monospace fonts that browsers have, with some air."""
_SANS = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
_MONO = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_STYLES = {
    "plant": ("#1f2a37", "#1f2a37", "#ffffff", "#c6d0dc"),
    "trained": ("#e3efff", "#2f6fd0", "#10294f", "#47628c"),
    "classical": ("#fff1dc", "#d08a2f", "#4a2c05", "#8a6534"),
    "topic": ("#ffffff", "#c3cad4", "#333b46", "#7a8493"),
    "unread": ("#ffffff", "#c3cad4", "#333b46", "#7a8493"),
}
"""Per style: fill, outline, colour of the first line, colour of the others."""
_EDGE = "#8794a5"


@dataclass
class _Box:
    """A box, or, without lines, the place where an edge passes a layer; x is its middle, y its upper side."""

    layer: int
    lines: tuple[str, ...] = ()
    style: str = ""
    x: float = 0.0
    y: float = 0.0
    height: float = 0.0

    def __post_init__(self) -> None:
        self.width = max(map(len, self.lines), default=0) * _LETTER + 24 if self.lines else 8.0
        self.height = len(self.lines) * _LINE_HEIGHT + 16.0 if self.lines else 0.0


@dataclass
class _Edge:
    """An edge, and the names of all boxes that it joins or passes."""

    start: str
    end: str
    title: str
    way: list[str] = field(default_factory=list)
    is_back: bool = False


_Boxes = dict[str, _Box]


def _flow_boxes(flow: Flow) -> tuple[_Boxes, list[_Edge]]:
    """Modules and topics in turn, so that a topic's box is the label of its edges."""
    layers = {PLANT: 0}
    for name in flow.order:
        known = [layers[s.node] for s in flow.modules[name].inputs.values() if s.node in layers]
        layers[name] = max(known, default=0) + 2
    boxes = {PLANT: _Box(0, (PLANT, flow.plant.env), "plant")}
    for name in flow.order:
        style = "classical" if flow.modules[name].artifact is None else "trained"
        boxes[name] = _Box(layers[name], (name, _pace(flow, name)), style)
    last = max(layers.values()) + 2
    boxes[_ACTUATORS] = _Box(last, (PLANT, f"acts on {', '.join(flow.plant.inputs)}"), "plant")
    edges = []
    for topic in _topics(flow):
        key = f"{topic.node}.{topic.port}"
        style = "topic" if topic.consumers else "unread"
        boxes[key] = _Box(layers[topic.node] + 1, (topic.name, topic.type, topic.pace), style)
        edges.append(_Edge(topic.node, key, key))
        for consumer, port in topic.consumers:
            end = _ACTUATORS if consumer == PLANT else consumer
            is_back = boxes[end].layer <= boxes[key].layer
            edges.append(_Edge(key, end, f"{key} to {consumer}.{port}", is_back=is_back))
    return boxes, edges


def _training_boxes(flow: Flow) -> tuple[_Boxes, list[_Edge]]:
    boxes: _Boxes = {}
    edges = []
    for name in flow.training_order:
        layer = max((boxes[need].layer + 1 for need in _needs(flow, name)), default=0)
        boxes[name] = _Box(layer, (name, f"{_trainer(flow, name)} training"), "trained")
        edges += [_Edge(need, name, f"{name} is trained on frozen {need}") for need in _needs(flow, name)]
    return boxes, edges


def _places(boxes: _Boxes, edges: Sequence[_Edge]) -> list[list[str]]:
    """Give every box its place, and every long edge its bends; the boxes of each layer from left to right."""
    near: dict[str, list[str]] = {}
    for edge in edges:
        if not edge.is_back:
            _bend(boxes, edge, near)
    layers: list[list[str]] = [[] for _ in range(1 + max((box.layer for box in boxes.values()), default=-1))]
    for name, box in boxes.items():
        layers[box.layer].append(name)
    rank = {name: float(position) for layer in layers for position, name in enumerate(layer)}
    for sweep in range(12):  # it settles in two or three
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            side = -1 if sweep % 2 == 0 else 1
            layer.sort(key=lambda name: _barycentre(name, side, boxes, near, rank))
            rank.update({name: position - (len(layer) - 1) / 2 for position, name in enumerate(layer)})
    for _ in range(200):  # far more than a graph of a hundred boxes takes, and still some ms
        for layer in layers:
            _spread(layer, boxes, near)
    y = float(_MARGIN + _TITLE_HEIGHT)
    for layer in layers:
        height = max(boxes[name].height for name in layer)
        for box in (boxes[name] for name in layer):
            if not box.lines:
                box.height = height
            box.y = y + (height - box.height) / 2
        y += height + _GAP_Y
    left = min((box.x - box.width / 2 for box in boxes.values()), default=0.0)
    for box in boxes.values():
        box.x += _MARGIN - left
    return layers


def _bend(boxes: _Boxes, edge: _Edge, near: dict[str, list[str]]) -> None:
    """A bend in each layer between; edges of one topic share them, so that they part as late as they can."""
    edge.way = [edge.start]
    for layer in range(boxes[edge.start].layer + 1, boxes[edge.end].layer):
        edge.way.append(f"{edge.start} in {layer}")
        boxes.setdefault(edge.way[-1], _Box(layer))
    edge.way.append(edge.end)
    for above, below in pairwise(edge.way):
        if below not in near.setdefault(above, []):
            near[above].append(below)
            near.setdefault(below, []).append(above)


def _barycentre(
    name: str, side: int, boxes: _Boxes, near: Mapping[str, Sequence[str]], rank: Mapping[str, float]
) -> float:
    ranks = [rank[other] for other in near.get(name, ()) if boxes[other].layer == boxes[name].layer + side]
    return sum(ranks) / len(ranks) if ranks else rank[name]


def _spread(layer: Sequence[str], boxes: _Boxes, near: Mapping[str, Sequence[str]]) -> None:
    """Each box as near to the mean of its neighbours as the others let it: isotonic regression by pooling."""
    offset = 0.0
    pools: list[tuple[float, float, list[tuple[str, float]]]] = []  # mean, weight, (box, its offset)
    before: _Box | None = None
    for name in layer:
        box = boxes[name]
        if before is not None:
            offset += (before.width + box.width) / 2 + _GAP_X
        before = box
        # A bend beside a bend counts more than a box: long edges are to be straight.
        pulls = [
            (boxes[other].x, 1.0 if box.lines or boxes[other].lines else 8.0) for other in near.get(name, ())
        ]
        weight = sum(pull for _, pull in pulls) or 1.0
        mean = (sum(x * pull for x, pull in pulls) / weight if pulls else box.x) - offset
        members = [(name, offset)]
        while pools and pools[-1][0] >= mean:
            other_mean, other_weight, others = pools.pop()
            mean = (mean * weight + other_mean * other_weight) / (weight + other_weight)
            weight += other_weight
            members = others + members
        pools.append((mean, weight, members))
    for mean, _, members in pools:
        for name, shift in members:
            boxes[name].x = mean + shift


def _svg_lines(
    title: str, boxes: _Boxes, edges: Sequence[_Edge], layers: Sequence[Sequence[str]]
) -> Iterator[str]:
    backs = sum(edge.is_back for edge in edges)
    right = max((box.x + box.width / 2 for box in boxes.values()), default=0.0)
    width = max(right + backs * 14, len(title) * 9.5) + _MARGIN
    height = max((box.y + box.height for box in boxes.values()), default=_TITLE_HEIGHT) + _MARGIN
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
    )
    yield f"<title>{escape(title)}</title>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{_EDGE}"/></marker></defs>'
    )
    yield '<rect width="100%" height="100%" rx="10" fill="#f7f9fb"/>'
    yield (
        f'<text x="{_MARGIN}" y="{_MARGIN + 8}" font-family="{_SANS}" font-size="16" font-weight="600" '
        f'fill="#1f2a37">{escape(title)}</text>'
    )
    lane = right
    for edge in edges:
        if edge.is_back:
            lane += 14
            path = _back_path(boxes[edge.start], boxes[edge.end], lane)
        else:
            path = _path(edge, boxes, edges)
        dash = ' stroke-dasharray="5 4"' if edge.is_back else ""
        tip = ' marker-end="url(#tip)"'
        yield (
            f'<path d="{path}" fill="none" stroke="{_EDGE}" stroke-width="1.6"{dash}{tip}>'
            f"<title>{escape(edge.title)}</title></path>"
        )
    for layer in layers:
        for name in layer:
            if boxes[name].lines:
                yield from _box_lines(boxes[name])
    yield "</svg>"


def _box_lines(box: _Box) -> Iterator[str]:
    fill, outline, first, others = _STYLES[box.style]
    dash = ' stroke-dasharray="4 3"' if box.style == "unread" else ""
    yield (
        f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="7" fill="{fill}" stroke="{outline}" stroke-width="1.2"{dash}/>'
    )
    is_topic = box.style in {"topic", "unread"}
    for number, line in enumerate(box.lines):
        size, weight = (13, 600) if number == 0 and not is_topic else (11, 400)
        y = box.y + 8 + _LINE_HEIGHT * (number + 0.75)
        yield (
            f'<text x="{box.x:.1f}" y="{y:.1f}" text-anchor="middle" font-family="{_MONO if is_topic else _SANS}" '
            f'font-size="{size}" font-weight="{weight}" fill="{first if number == 0 else others}">'
            f"{escape(line)}</text>"
        )


def _path(edge: _Edge, boxes: _Boxes, edges: Sequence[_Edge]) -> str:
    """From the lower side of a box to the upper side of another one, upright where it passes a layer."""
    below = {other.way[1] for other in edges if other.start == edge.start and other.way}
    above = {other.way[-2] for other in edges if other.end == edge.end and other.way}
    x = _slot(boxes[edge.start], edge.way[1], below, boxes)
    y = boxes[edge.start].y + boxes[edge.start].height
    path = f"M{x:.1f} {y:.1f}"
    for name in edge.way[1:]:
        box = boxes[name]
        next_x = box.x if name != edge.end else _slot(box, edge.way[-2], above, boxes)
        middle = (y + box.y) / 2
        path += f" C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {box.y:.1f}"
        x, y = next_x, box.y
        if name != edge.end:
            y += box.height
            path += f" V{y:.1f}"
    return path


def _slot(box: _Box, name: str, neighbours: Collection[str], boxes: _Boxes) -> float:
    """Where an edge meets a box: they share its side in the order that their other ends have."""
    order = sorted(neighbours, key=lambda other: (boxes[other].x, other))
    return box.x + box.width * ((order.index(name) + 1) / (len(order) + 1) - 0.5)


def _back_path(start: _Box, end: _Box, lane: float) -> str:
    """Around everything, on the right, to a box that lies above."""
    from_x, to_x = start.x + start.width / 2, end.x + end.width / 2
    from_y, to_y = start.y + start.height / 2, end.y + end.height / 2
    return (
        f"M{from_x:.1f} {from_y:.1f} C{lane:.1f} {from_y:.1f} {lane:.1f} {from_y:.1f} {lane:.1f} {from_y - 24:.1f} "
        f"V{to_y + 24:.1f} C{lane:.1f} {to_y:.1f} {lane:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
    )
