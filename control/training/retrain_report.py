"""Report of a retraining: one page that shows how it went, what is promised now, and which artifact is better.

The last thing that a retraining leaves behind. From its outcome, data are taken (`_learning_curve`, `_edges`),
fragments of HTML are made of them, and the page of the fragments. Plots are SVG within the page, so it
needs no other file, no script and no network; their colours are the page's, light or dark.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from reflexarc.control.artifacts.artifact import Manifest
from reflexarc.control.contracts import Assumption, compare
from reflexarc.control.errors import TrainingError
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow
from reflexarc.control.training.paired import Comparison
from reflexarc.control.training.retrain import Outcome
from reflexarc.control.values import FloatArray

__all__ = ["write_retrain_report"]

_TAGS: Mapping[str, str] = {"loss": "loss", "rollout/ep_rew_mean": "mean return of an episode"}
"""What the trainers log, and what it is."""

_MOST_POINTS = 200
"""Of a curve; what lies between is drawn as a band."""

_WIDEST_LOG2 = 3.0
"""Bars of ratios end at an eighth and at eight times."""

_COLOURS: Mapping[str, str] = {
    "ink": "#000001",
    "line": "#000002",
    "good": "#000003",
    "bad": "#000004",
    "accent": "#000005",
}
"""Stand-ins for the page's colours (`var(--ink)`), which matplotlib does not know."""

_INK, _LINE, _GOOD, _BAD, _ACCENT = _COLOURS.values()

_STYLE: Any = {  # its keys are literals in the types of some versions only
    "svg.fonttype": "none",
    "svg.hashsalt": "reflexarc",  # the same ids in every run
    "text.parse_math": False,
    "text.usetex": False,
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.5,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}

_CSS = """
:root { color-scheme: light dark; --paper: #f4f5f7; --card: #fff; --ink: #1c2530; --soft: #5b6673;
  --line: #d5dae0; --good: #14804a; --bad: #c62f2f; --accent: #2563c9; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161b; --card: #1b2129; --ink: #e6eaef;
  --soft: #9aa6b3; --line: #39424d; --good: #4cc38a; --bad: #ff7b72; --accent: #74a9ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.45;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; margin: .2rem 0 .4rem; } h2 { font-size: 1.1rem; margin: 0 0 .8rem; }
h3 { font-size: .95rem; margin: 1.2rem 0 .4rem; } p { margin: .4rem 0; } ul { padding-left: 1.2rem; }
header, section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 1.1rem 1.25rem; margin-bottom: 1rem; }
header { border-left: 8px solid var(--bad); } header.promoted { border-left-color: var(--good); }
.soft, figcaption { color: var(--soft); font-size: .88rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.tiles { display: grid; gap: .75rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(13rem, 100%), 1fr)); }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.side { display: grid; gap: 1rem 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.side > * { min-width: 0; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { white-space: normal; }
th { color: var(--soft); font-weight: 600; }
.r { text-align: right; font-variant-numeric: tabular-nums; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .88em; }
figure { margin: 0; max-width: 30rem; } svg { display: block; width: 100%; height: auto; }
@media (max-width: 600px) { header, section { padding: .9rem; }
  th, td { padding: .3rem .25rem; font-size: .85rem; } th, td:not(.r) { white-space: normal; } }
svg text { font-family: inherit !important; }
"""


_BoolArray: TypeAlias = npt.NDArray[np.bool_]


class _Html(str):
    """Text that is HTML already; all other text is escaped by `_html`."""


@dataclass(frozen=True, kw_only=True)
class _Edge:
    """One figure on one edge of the flow; None where nothing is guaranteed, or assumed."""

    producer: str
    consumer: str
    figure: str
    guaranteed: float | None
    assumed: float | None
    is_broken: bool


def write_retrain_report(outcome: Outcome, flow: Flow) -> Path:
    """Write the page beside the logs of the training.

    Args:
        outcome: What the retraining came to.
        flow: The flow it was in.

    Returns:
        Where it lies: `retrain-<first 12 digits of the new digest>.html`.

    Raises:
        TrainingError: It cannot be written; what the retraining came to stays.
    """
    path = outcome.log_dir / f"retrain-{outcome.new.digest[:12]}.html"
    try:
        outcome.log_dir.mkdir(parents=True, exist_ok=True)
        write_whole(path, _page(outcome, flow))
    except OSError as error:
        done = "promoted" if outcome.is_promoted else "not promoted"
        raise TrainingError(
            f"{path}: the report cannot be written ({error.strerror}). "
            f"{outcome.intent.module} was trained all the same, and {done}."
        ) from None
    return path


# Data


def _learning_curve(log_dir: Path, training_s: float) -> tuple[str, FloatArray] | None:
    """Tag, and (step, value) of the newest training below a folder; None where none was logged.

    Every training adds its files to the same folder, one of PPO several. What belongs to the newest was
    logged within the time that it took.

    Args:
        log_dir: Where event files lie, or folders with them.
        training_s: Wall time of the training.
    """
    tag, points = "", []
    # A file's name begins with the time it was made at.
    for file in sorted(log_dir.rglob("events.out.tfevents.*"), key=lambda path: path.name, reverse=True):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        logged = [name for name in _TAGS if name in events.Tags()["scalars"]]
        if not logged or (tag and tag not in logged):
            continue
        tag = tag or logged[0]
        points += [(event.wall_time, event.step, event.value) for event in events.Scalars(tag)]
        newest = max(wall_time for wall_time, _, _ in points)
        within = [point for point in points if point[0] >= newest - training_s]
        if len(within) < len(points):
            points = within
            break
    kept = sorted((step, value) for _, step, value in points if math.isfinite(value))
    return (tag, np.array(kept, dtype=np.float64)) if kept else None


def _edges(flow: Flow, module: str, manifests: Mapping[str, Manifest]) -> list[_Edge]:
    """Every figure on the edges between a module and its trained neighbours."""
    found = []
    for consumer, manifest in manifests.items():
        for port, source in flow.modules[consumer].inputs.items():
            if source.node not in manifests or module not in (source.node, consumer):
                continue
            guarantee = manifests[source.node].guarantees.get(source.port, {})
            assumption = manifest.assumes.get(port, Assumption())
            names = (str(source), f"{consumer}.{port}")
            broken = {v.figure for v in compare(names[0], guarantee, names[1], assumption)}
            found += [
                _Edge(
                    producer=names[0],
                    consumer=names[1],
                    figure=figure,
                    guaranteed=guarantee.get(figure),
                    assumed=assumption.bounds.get(figure),
                    is_broken=figure in broken,
                )
                for figure in dict.fromkeys((*guarantee, *assumption.bounds))
            ]
    return found


def _unit(figure: str, values: Iterable[float | None]) -> tuple[float, str]:
    """By what to multiply a figure's SI values so that they read well, and the unit they have then."""
    largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    if figure.endswith("_m"):
        return (1e3, "mm") if largest < 0.01 else (1e2, "cm") if largest < 1 else (1.0, "m")
    if figure.endswith("_s"):
        return (1e3, "ms") if largest < 1 else (1.0, "s")
    if figure.endswith(("_share", "_rate")):
        return 1e2, "%"
    return 1.0, "rad" if figure.endswith("_rad") else ""


def _shown(figure: str, *values: float | None) -> list[str]:
    """Values of one figure as people read them, all in the same unit."""
    scale, unit = _unit(figure, values)
    return ["-" if v is None or not math.isfinite(v) else f"{v * scale:.3g} {unit}".rstrip() for v in values]


def _short(figure: str) -> str:
    """A figure without the suffix that its unit already tells."""
    return re.sub(r"_(m|s|rad)$", "", figure).replace("_", " ")


def _name(figure: str) -> _Html:
    return _Html(f'<span title="{escape(figure)}">{escape(_short(figure))}</span>')


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


# Fragments


def _html(content: object) -> _Html:
    return content if isinstance(content, _Html) else _Html(escape(str(content)))


def _join(*parts: object) -> _Html:
    return _Html("\n".join(_html(part) for part in parts))


def _element(tag: str, *parts: object, css: str = "") -> _Html:
    classes = f' class="{css}"' if css else ""
    return _Html(f"<{tag}{classes}>{''.join(_html(part) for part in parts)}</{tag}>")


def _table(columns: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> _Html:
    """A table; `columns` says of each whether it is to the left (l) or to the right (r)."""
    css = {"l": "", "r": "r"}

    def row(tag: str, cells: Sequence[object]) -> _Html:
        return _element(
            "tr", *(_element(tag, cell, css=css[c]) for c, cell in zip(columns, cells, strict=True))
        )

    lines = _join(*(row("td", cells) for cells in rows))
    top = _element("thead", row("th", head)) if any(head) else ""
    table = _element("table", top, _element("tbody", lines))
    return _element("div", table, css="scroll")


def _section(title: str, *parts: object) -> _Html:
    return _element("section", _element("h2", title), *parts)


def _tile(title: str, value: object, *below: object) -> _Html:
    beside = _element("span", *below, css="soft")
    return _element("div", _element("span", title, css="soft"), _element("b", value), beside, css="tile")


def _mark(is_good: bool, good: str, bad: str) -> _Html:
    return _element("span", f"✓ {good}" if is_good else f"✗ {bad}", css="good" if is_good else "bad")


def _plot(name: str, caption: str, height_in: float, draw: Callable[[Axes], None]) -> _Html:
    """A plot as SVG, in the colours of the page.

    Args:
        name: Unique in the page.
        caption: What it shows.
        height_in: Beside a width of 4.8 inches.
        draw: Draws it.
    """
    text = StringIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.8, height_in), layout="constrained")
        draw(figure.add_subplot())
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' (?:width|height)="[^"]*pt"', "", svg, count=2)
    # The ids of one plot are those of the next, but a page has each only once.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, stand_in in _COLOURS.items():
        svg = svg.replace(stand_in, f"var(--{colour})")
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)
    return _element("figure", _Html(svg), _element("figcaption", caption))


def _curve_fragment(outcome: Outcome) -> _Html:
    found = _learning_curve(outcome.log_dir, outcome.seconds.get("training", math.inf))
    if found is None:
        return _element("p", f"Nothing was logged: no event files of TensorBoard below {outcome.log_dir}.")
    tag, points = found
    parts = np.array_split(points, min(len(points), _MOST_POINTS))
    steps, mean = np.array([part.mean(axis=0) for part in parts]).T
    low = np.array([part[:, 1].min() for part in parts])
    high = np.array([part[:, 1].max() for part in parts])

    def draw(axes: Axes) -> None:
        axes.fill_between(steps, low, high, color=_ACCENT, alpha=0.25, linewidth=0)
        axes.plot(steps, mean, color=_ACCENT, marker="o" if len(steps) == 1 else "")
        if low.min() > 0 and high.max() > 10 * low.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        axes.set_xlabel("step")
        axes.set_ylabel(_TAGS[tag])
        axes.grid(axis="y")

    rows = [
        ("logged", f"{len(points)} values of {tag}"),
        ("at the beginning", f"{mean[0]:.4g}"),
        ("at the end", f"{mean[-1]:.4g}"),
        ("lowest", f"{low.min():.4g}"),
        ("highest", f"{high.max():.4g}"),
    ]
    share = outcome.new.manifest.completed
    if share < 1:
        rows.append(("a budget ended it after", f"{100 * share:.0f} % of its steps"))
    return _element(
        "div",
        _plot("curve", f"{_TAGS[tag]}, with its range between two points", 2.6, draw),
        _table("lr", ("", ""), rows),
        css="side",
    )


def _guarantee_fragment(outcome: Outcome) -> _Html:
    old, new = outcome.old.manifest.guarantees, outcome.new.manifest.guarantees
    ports = [port for port in dict.fromkeys((*old, *new)) if old.get(port) or new.get(port)]
    if not ports:
        return _element("p", f"{outcome.intent.module} guarantees no figures of its outputs.")
    return _join(
        _element("p", "What 95 of 100 held-out episodes do not exceed: smaller promises more.", css="soft"),
        *(_port_fragment(port, old.get(port, {}), new.get(port, {})) for port in ports),
    )


def _port_fragment(port: str, old: Mapping[str, float], new: Mapping[str, float]) -> _Html:
    ratios = {}
    rows = []
    for figure in dict.fromkeys((*old, *new)):
        before, after = old.get(figure), new.get(figure)
        ratio = _ratio(before, after)
        if ratio is not None:
            ratios[figure] = ratio
        shown = "-" if ratio is None else f"{ratio:.2f}"
        rows.append((_name(figure), *_shown(figure, before, after), shown))

    def draw(axes: Axes) -> None:
        logs = np.log2(np.clip(list(ratios.values()), 2**-_WIDEST_LOG2, 2**_WIDEST_LOG2))
        colours = [_BAD if ratio > 1 else _GOOD for ratio in ratios.values()]
        axes.barh(range(len(ratios)), logs, height=0.6, color=colours)
        axes.axvline(0, color=_INK, linewidth=1)
        axes.set_yticks(range(len(ratios)), [_short(figure) for figure in ratios])
        axes.invert_yaxis()
        widest = max(1, math.ceil(np.abs(logs).max()))
        axes.set_xlim(-widest, widest)
        ticks = range(-widest, widest + 1)
        axes.set_xticks(ticks, [f"1/{2**-k}" if k < 0 else f"{2**k}" for k in ticks])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")

    table = _table("lrrr", ("figure", "old", "new", "new / old"), rows)
    caption = "New over old: to the left is better"
    plot = _plot(f"ratio-{_slug(port)}", caption, 0.7 + 0.28 * len(ratios), draw) if ratios else ""
    return _join(_element("h3", f"Output {port}"), _element("div", table, plot, css="side"))


def _ratio(old: float | None, new: float | None) -> float | None:
    """New over old; 1 where both are nought, None where there is none."""
    if old is None or new is None or not (math.isfinite(old) and math.isfinite(new)):
        return None
    if old == new:
        return 1.0
    return new / old if old > 0 else None


def _slug(text: str) -> str:
    """Of what an id may be made."""
    return re.sub(r"\W", "-", text)


def _contract_fragment(outcome: Outcome, edges: Sequence[_Edge], flow: Flow) -> _Html:
    module = outcome.intent.module
    before = {
        (edge.producer, edge.consumer, edge.figure): edge
        for edge in _edges(flow, module, {**outcome.neighbour_manifests, module: outcome.old.manifest})
    }
    tables: dict[str, list[Sequence[object]]] = {}
    for edge in edges:
        was = before.get((edge.producer, edge.consumer, edge.figure))
        states = ("-" if was is None else _state(was), _state(edge))
        row = (_name(edge.figure), *_shown(edge.figure, edge.guaranteed, edge.assumed), *states)
        tables.setdefault(f"{edge.producer} → {edge.consumer}", []).append(row)
    head = ("figure", "guaranteed", "assumed", "old", "new")
    violations = [_element("li", violation, css="bad") for violation in outcome.violations]
    shown = [
        _element("div", _element("h3", name), _table("lrrll", head, rows)) for name, rows in tables.items()
    ]
    said = "What the new one and its neighbours guarantee at most, against what the reader was trained under."
    return _join(
        _element("p", said, css="soft"),
        _element("ul", *violations) if violations else "",
        _element("div", *shown, css="side")
        if shown
        else _element("p", f"No figures on any edge between {module} and a trained neighbour."),
    )


def _state(edge: _Edge) -> object:
    return "-" if edge.assumed is None else _mark(not edge.is_broken, "kept", "broken")


def _comparison_fragment(comparison: Comparison | None) -> _Html:
    if comparison is None:
        return _element("p", "No episodes were run.")
    old, new = np.array(comparison.old), np.array(comparison.new)
    means = _shown(comparison.figure, float(old.mean()), float(new.mean()))
    gain, low, high, margin = _gain_shown(comparison)
    rows = [
        ("figure", _name(comparison.figure)),
        ("episodes with each", len(old)),
        ("mean with the old", means[0]),
        ("mean with the new", means[1]),
        ("gain", gain),
        ("its interval, 95 %", f"{low} to {high}"),
        ("may be worse by", margin),
        ("verdict", _mark(comparison.verdict == "not worse", "not worse", comparison.verdict)),
    ]
    is_share = set(comparison.old + comparison.new) <= {0.0, 1.0}
    return _join(
        _element("div", _table("lr", ("", ""), rows), _interval_plot(comparison), css="side"),
        _element("h3", "Episode by episode"),
        _two_by_two(old > 0, new > 0) if is_share else _scatter(comparison),
    )


def _gain_unit(comparison: Comparison) -> tuple[float, str]:
    """As `_unit`; a difference of shares is in percentage points."""
    ends = (comparison.gain, comparison.low, comparison.high, comparison.margin)
    scale, unit = _unit(comparison.figure, ends)
    return scale, "pp" if unit == "%" else unit


def _gain_shown(comparison: Comparison) -> list[str]:
    """Gain, the ends of its interval, and the margin."""
    scale, unit = _gain_unit(comparison)
    ends = (comparison.gain, comparison.low, comparison.high)
    return [f"{scale * v:+.3g} {unit}".rstrip() for v in ends] + [f"{scale * comparison.margin:.3g} {unit}"]


def _interval_plot(comparison: Comparison) -> _Html:
    scale, unit = _gain_unit(comparison)
    gain, low, high, margin = (
        scale * v for v in (comparison.gain, comparison.low, comparison.high, comparison.margin)
    )
    if not all(map(math.isfinite, (gain, low, high))):
        return _element("p", "Too few episodes for an interval.")
    colour = {"not worse": _GOOD, "worse": _BAD, "undecided": _ACCENT}[comparison.verdict]

    def draw(axes: Axes) -> None:
        left, right = min(low, -margin), max(high, 0.0)
        room = 0.25 * max(right - left, 1e-9)
        axes.set_xlim(left - room, right + room)
        axes.set_ylim(-1, 1.4)
        axes.axvspan(left - room, -margin, color=_BAD, alpha=0.12, linewidth=0)
        for at, label, style in ((-margin, "margin", "--"), (0.0, "the same", "-")):
            axes.axvline(at, ymax=0.82, color=_INK, linewidth=1, linestyle=style)
            axes.text(at, 1.1, label, ha="right" if at < 0 else "left", va="center")
        axes.plot([low, high], [0, 0], color=colour, linewidth=4, solid_capstyle="round")
        axes.plot([gain], [0], color=colour, marker="o", markersize=10)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"gain, {unit}: to the right is better" if unit else "gain: to the right is better")

    caption = "Gain and its interval: not worse if it lies wholly to the right of the margin"
    return _plot("interval", caption, 1.7, draw)


def _two_by_two(old: _BoolArray, new: _BoolArray) -> _Html:
    """How often which of the two did it: what differs is what the verdict is about."""
    count = [[int(((old == was) & (new == now)).sum()) for now in (True, False)] for was in (True, False)]
    table = _table(
        "lrr",
        ("", "new: success", "new: failure"),
        [
            ("old: success", count[0][0], _element("span", count[0][1], css="bad")),
            ("old: failure", _element("span", count[1][0], css="good"), count[1][1]),
        ],
    )
    said = f"Only the new one succeeded in {count[1][0]} episodes, only the old one in {count[0][1]}."
    return _element("div", table, _element("p", said), css="side")


def _scatter(comparison: Comparison) -> _Html:
    scale, unit = _unit(comparison.figure, (*comparison.old, *comparison.new))
    old, new = scale * np.array(comparison.old), scale * np.array(comparison.new)
    # The gain is positive where the new one is better, so it tells which way the figure counts.
    sign = 1.0 if comparison.gain * (new.mean() - old.mean()) >= 0 else -1.0
    is_better = sign * (new - old) > 0

    def draw(axes: Axes) -> None:
        low, high = min(old.min(), new.min()), max(old.max(), new.max())
        axes.plot([low, high], [low, high], color=_INK, linewidth=1)
        for chosen, colour, marker, label in (
            (is_better, _GOOD, "o", "new is better"),
            (~is_better, _BAD, "x", "new is not better"),
        ):
            counted = f"{label}: {int(chosen.sum())}"
            axes.scatter(
                old[chosen], new[chosen], s=18, color=colour, marker=marker, alpha=0.8, label=counted
            )
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xlabel(f"with the old, {unit}".rstrip(", "))
        axes.set_ylabel(f"with the new, {unit}".rstrip(", "))
        axes.legend(frameon=False, fontsize=8.5)

    return _plot("episodes", "Each episode with both; on the line they are the same", 3.8, draw)


def _made_of_fragment(outcome: Outcome) -> _Html:
    """What changed, and all that made the old one and the new one."""
    old, new = outcome.old.manifest, outcome.new.manifest
    causes = ", ".join(outcome.intent.causes) or "nothing: it was forced"
    pairs: list[tuple[str, object, object]] = [("digest", outcome.old.digest, outcome.new.digest)]
    pairs += [
        (name, getattr(old, field), getattr(new, field))
        for name, field in (
            ("code", "code_digest"),
            ("environment", "environment_digest"),
            ("config", "config_digest"),
            ("recorded data", "data"),
            ("seed", "seed"),
            ("trainer", "trainer"),
        )
    ]
    for title in ("upstream", "settings", "libraries"):
        was, now = getattr(old, title), getattr(new, title)
        pairs += [(f"{title}: {key}", was.get(key, ""), now.get(key, "")) for key in sorted({*was, *now})]
    rows = [
        (name, _value(was), _value(now), "" if was == now else _element("b", "changed"))
        for name, was, now in pairs
    ]
    return _join(_element("p", "Why: ", causes), _table("llll", ("", "old", "new", ""), rows))


def _value(value: object) -> object:
    """A digest by its beginning, the whole of it when pointed at; settings as JSON."""
    if isinstance(value, str):
        if re.fullmatch(r"[0-9a-f]{64}", value):
            return _Html(f'<code title="{value}">{value[:12]}</code>')
        return value or "-"
    return _element("code", json.dumps(value))


def _neighbour_fragment(outcome: Outcome) -> _Html:
    rows = [(name, _mark(True, "stays valid", ""), "-") for name in outcome.valid]
    rows += [
        (name, _mark(False, "", "not covered any more"), _duration(cost))
        for name, cost in outcome.invalid.items()
    ]
    if not rows:
        return _element("p", "It has no trained neighbours.")
    return _table("llr", ("neighbour", "", "cost of retraining"), rows)


def _time_fragment(outcome: Outcome) -> _Html:
    total = sum(outcome.seconds.values())
    rows: list[Sequence[object]] = [
        (part, _duration(seconds), f"{100 * seconds / total:.0f} %" if total else "-")
        for part, seconds in outcome.seconds.items()
    ]
    return _table("lrr", ("part", "wall time", "share"), [*rows, ("in all", _duration(total), "")])


# Page


def _page(outcome: Outcome, flow: Flow) -> str:
    module = outcome.intent.module
    edges = _edges(flow, module, {**outcome.neighbour_manifests, module: outcome.new.manifest})
    verdict = "promoted" if outcome.is_promoted else "kept the old one"
    title = f"{module}: {verdict}"
    body = _join(
        _Html(f'<header class="{"promoted" if outcome.is_promoted else "kept"}">'),
        _element("span", f"Retraining of {module} in flow {flow.name}", css="soft"),
        _element("h1", _mark(outcome.is_promoted, title, title)),
        _element("p", outcome.reason),
        _element("div", *_tiles(outcome, edges), css="tiles"),
        _Html("</header>"),
        _section("Learning curve", _curve_fragment(outcome)),
        _section("Guarantee before and after", _guarantee_fragment(outcome)),
        _section("Contracts with the neighbours", _contract_fragment(outcome, edges, flow)),
        _section("Closed loop, the same episodes with both", _comparison_fragment(outcome.comparison)),
        _element(
            "div",
            _section("Neighbours", _neighbour_fragment(outcome)),
            _section("Time", _time_fragment(outcome)),
            css="side",
        ),
        _section("What it was made of", _made_of_fragment(outcome)),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _tiles(outcome: Outcome, edges: Sequence[_Edge]) -> list[_Html]:
    """The four numbers that one looks for first."""
    tiles = []
    if outcome.comparison is not None:
        gain, low, high, margin = _gain_shown(outcome.comparison)
        count = len(outcome.comparison.new)
        tiles.append(_tile("gain in closed loop", gain, f"{low} to {high} by {count} pairs, margin {margin}"))
    assumed = sum(edge.assumed is not None for edge in edges)
    broken = len(outcome.violations)
    state = _mark(not broken, "kept", f"{broken} broken")
    return [
        *tiles,
        _tile("contracts", state, f"{assumed} figures are assumed"),
        _tile("neighbours", f"{len(outcome.valid)} valid", f"{len(outcome.invalid)} to be retrained"),
        _tile("training", _duration(outcome.seconds.get("training")), f"seed {outcome.new.manifest.seed}"),
    ]
