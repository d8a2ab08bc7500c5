import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from reflexarc.control.artifacts.artifact import Manifest, write_artifact
from reflexarc.control.contracts import Assumption, Violation
from reflexarc.control.errors import TrainingError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.training.paired import Comparison
from reflexarc.control.training.retrain import Intent, Outcome
from reflexarc.control.training.retrain_report import write_retrain_report

FLOW = load_flow("arm_catch")
VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """What a page holds; refuses tags that are not closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.tags, self.ids, self.links, self.words = [], [], [], [], [], []
        self.heading, self.under = "", []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "xlink:href", "src")]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h2", "h3"):
            self.heading = ""
        if tag == "tr":
            self.rows.append([])
            self.under.append(self.heading)
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if self.open[-1:] in (["h2"], ["h3"]):
            self.heading += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def row(self, *begin, under=None):
        """The rest of the one row that begins so, under any heading or one."""
        found = [
            row[len(begin) :]
            for row, heading in zip(self.rows, self.under, strict=True)
            if tuple(row[: len(begin)]) == begin and under in (None, heading)
        ]
        assert len(found) == 1, found
        return found[0]


def manifest(module, **changes):
    spec = FLOW.modules[module]
    given = {
        "module": module,
        "kind": spec.kind,
        "flow": FLOW.name,
        "trainer": spec.training.trainer,
        "ports": {},
        "constants": {},
        "code_digest": "c" * 64,
        "environment_digest": "e" * 64,
        "config_digest": "f" * 64,
        "upstream": {},
        "seed": 0,
        "libraries": {"torch": "2.13.0"},
        **changes,
    }
    return Manifest(**given)


def figures(rmse_m, bias_m=0.004, wrong_share=0.01):
    return {"rmse_m": rmse_m, "bias_m": bias_m, "wrong_share": wrong_share, "lag_s": 0.012, "odd": math.nan}


def catches(pairs):
    """A comparison of (old, new) outcomes."""
    old, new = zip(*pairs, strict=True)
    return Comparison(
        figure="catch_rate",
        old=tuple(map(float, old)),
        new=tuple(map(float, new)),
        gain=(sum(new) - sum(old)) / len(pairs),
        low=-0.011,
        high=0.082,
        margin=0.03,
        verdict="not worse",
    )


def tracking():
    rng = np.random.default_rng(0)
    old = 0.02 + 0.004 * rng.random(50)
    new = old + 0.006 + 0.002 * rng.standard_normal(50)
    gain = float((old - new).mean())
    return Comparison(
        figure="tracking_rmse_m",
        old=tuple(old),
        new=tuple(new),
        gain=gain,
        low=gain - 0.0007,
        high=gain + 0.0007,
        margin=0.002,
        verdict="worse",
    )


@pytest.fixture
def promoted(tmp_path):
    """An estimation retrained with other settings, and better."""
    old = write_artifact(
        tmp_path,
        manifest(
            "estimation",
            guarantees={"odometry": figures(0.021)},
            assumes={"detection": Assumption(bounds={"rmse_m": 0.05, "wrong_share": 0.02})},
        ),
        {},
    )
    new = write_artifact(
        tmp_path,
        manifest(
            "estimation",
            settings={"iterations": 900},
            config_digest="d" * 64,
            guarantees={"odometry": figures(0.0105)},
            assumes={"detection": Assumption(bounds={"rmse_m": 0.06, "wrong_share": 0.02})},
        ),
        {},
    )
    log_dir = tmp_path / "logs" / FLOW.name / "estimation"
    log(log_dir, "loss", [(step, 9.0) for step in range(1, 50)], at_s=1e9)
    log(log_dir, "loss", [(step, 3.0 / step) for step in range(1, 1001)], at_s=1e9 + 5000)
    return Outcome(
        intent=Intent(
            module="estimation",
            causes=("config",),
            neighbours=("perception", "policy"),
            seconds=None,
            manifest=new.manifest,
        ),
        old=old,
        new=new,
        neighbour_manifests={
            "perception": manifest("perception", guarantees={"detection": figures(0.03)}),
            "policy": manifest("policy", assumes={"odometry": Assumption(bounds={"rmse_m": 0.03})}),
        },
        violations=(),
        valid=("perception", "policy"),
        invalid={},
        comparison=catches([(1, 1)] * 37 + [(0, 1)] * 3 + [(1, 0)] * 2 + [(0, 0)] * 8),
        is_promoted=True,
        reason="catch_rate not worse by 50 pairs",
        seconds={"training": 754.2, "closed loop": 61.0},
        log_dir=log_dir,
    )


@pytest.fixture
def kept(promoted, tmp_path):
    """The same, but worse, and not what the policy was trained under."""
    worse = promoted.new.manifest.model_copy(
        update={"guarantees": {"odometry": figures(0.042)}, "completed": 0.4}
    )
    violation = Violation(
        producer="estimation.odometry", consumer="policy.odometry", figure="rmse_m", value=0.042, bound=0.03
    )
    return replace(
        promoted,
        new=write_artifact(tmp_path, worse, {}),
        violations=(violation,),
        valid=("perception",),
        invalid={"policy": 421.0},
        comparison=tracking(),
        is_promoted=False,
        reason="tracking_rmse_m worse by 50 pairs",
    )


def log(folder, tag, points, at_s):
    with SummaryWriter(str(folder)) as writer:
        for step, value in points:
            writer.add_scalar(tag, value, step, walltime=at_s + 0.1 * step)


def written(outcome):
    path = write_retrain_report(outcome, FLOW)
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_lies_beside_the_logs_and_needs_nothing_else(promoted):
    path = write_retrain_report(promoted, FLOW)
    assert path == promoted.log_dir / f"retrain-{promoted.new.digest[:12]}.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert all(link.startswith("#") for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_plots_are_valid_svg_in_the_colours_of_the_page(kept):
    text = write_retrain_report(kept, FLOW).read_text(encoding="utf-8")
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 4
    for plot in plots:
        root = ET.fromstring(plot)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("aria-label")
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib
        assert "var(--ink)" in plot
        assert "$" not in plot
        # White behind the markers and black by default apart, every colour is one of the page's.
        assert set(re.findall(r"#[0-9a-f]{6}\b", plot)) <= {"#ffffff", "#000000"}


def test_a_promotion(promoted):
    page = written(promoted)
    assert "estimation: promoted" in page.text
    assert "catch_rate not worse by 50 pairs" in page.text
    assert page.row("rmse", under="Output odometry") == ["2.1 cm", "1.05 cm", "0.50"]
    assert page.row("odd", under="Output odometry") == ["-", "-", "-"]
    assert page.row("lag", under="Output odometry") == ["12 ms", "12 ms", "1.00"]
    edge = "estimation.odometry → policy.odometry"
    assert page.row("rmse", under=edge) == ["1.05 cm", "3 cm", "✓ kept", "✓ kept"]
    assert page.row("bias", under=edge) == ["4 mm", "-", "-", "-"]
    assert page.row("rmse", under="perception.detection → estimation.detection")[:2] == ["3 cm", "6 cm"]
    assert page.row("mean with the old") == ["78 %"]
    assert page.row("mean with the new") == ["80 %"]
    assert page.row("gain") == ["+2 pp"]
    assert page.row("its interval, 95 %") == ["-1.1 pp to +8.2 pp"]
    assert page.row("old: success") == ["37", "2"]
    assert page.row("old: failure") == ["3", "8"]
    assert page.row("closed loop") == ["1 min 01 s", "7 %"]
    assert page.row("settings: iterations") == ["-", "900", "changed"]
    assert page.row("digest") == [promoted.old.digest[:12], promoted.new.digest[:12], "changed"]
    assert page.row("code") == ["c" * 12, "c" * 12, ""]
    assert "Why: config" in page.text


def test_an_old_one_that_is_kept(kept):
    page = written(kept)
    assert "estimation: kept the old one" in page.text
    assert "tracking_rmse_m worse by 50 pairs" in page.text
    assert str(kept.violations[0]) in page.text
    assert page.row("rmse", under="estimation.odometry → policy.odometry") == [
        "4.2 cm",
        "3 cm",
        "✓ kept",
        "✗ broken",
    ]
    assert page.row("policy") == ["✗ not covered any more", "7 min 01 s"]
    assert page.row("a budget ended it after") == ["40 % of its steps"]
    assert page.row("verdict") == ["✗ worse"]
    mean_cm = 100 * np.mean(kept.comparison.new)
    assert page.row("mean with the new") == [f"{mean_cm:.3g} cm"]
    assert page.row("may be worse by") == ["2 mm"]
    better = sum(new < old for old, new in zip(kept.comparison.old, kept.comparison.new, strict=True))
    assert f"new is better: {better}" in page.text


def test_the_curve_is_that_of_the_newest_training(promoted):
    page = written(promoted)
    assert page.row("logged") == ["1000 values of loss"]
    assert page.row("highest") == ["3"]


def test_a_policy_logs_its_return_in_files_of_a_folder(promoted, tmp_path):
    folder = tmp_path / "ppo"
    log(folder / "policy_0", "rollout/ep_rew_mean", [(1, 0.5), (2, 0.7)], at_s=1e9)
    log(folder / "policy_0", "rollout/ep_rew_mean", [(1, math.nan), (2, 1.5)], at_s=1e9 + 9000)
    log(folder / "policy_0", "rollout/ep_rew_mean", [(3, 2.5)], at_s=1e9 + 9020)
    page = written(replace(promoted, log_dir=folder))
    assert page.row("logged") == ["2 values of rollout/ep_rew_mean"]
    assert page.row("at the beginning") == ["1.5"]
    assert page.row("at the end") == ["2.5"]


def test_without_event_files_it_says_so(promoted, tmp_path):
    page = written(replace(promoted, log_dir=tmp_path / "none"))
    assert "Nothing was logged" in page.text


def test_what_is_not_there_is_said(promoted, tmp_path):
    bare = write_artifact(tmp_path, manifest("estimation", seed=5), {})
    empty = replace(
        promoted, old=bare, new=bare, neighbour_manifests={}, valid=(), comparison=None, seconds={}
    )
    page = written(empty)
    for said in (
        "estimation guarantees no figures",
        "No figures on any edge",
        "No episodes were run",
        "It has no trained neighbours",
    ):
        assert said in page.text


def test_an_interval_that_is_none(promoted):
    comparison = replace(promoted.comparison, low=math.nan, high=math.nan, verdict="undecided")
    page = written(replace(promoted, comparison=comparison))
    assert "Too few episodes for an interval" in page.text
    assert page.row("verdict") == ["✗ undecided"]


def test_text_is_escaped(promoted):
    evil = '<script>alert("1")</script> & $x_1$'
    violation = Violation(producer=evil, consumer=evil, figure=evil, value=1.0, bound=0.5)
    changed = promoted.new.manifest.model_copy(
        update={
            "settings": {evil: evil},
            "guarantees": {"odometry": {evil: 1.0}},
        }
    )
    outcome = replace(
        promoted,
        intent=replace(promoted.intent, causes=(evil,)),
        new=write_artifact(promoted.old.folder.parent, changed, {}),
        violations=(violation,),
        invalid={evil: None},
        reason=evil,
        seconds={**promoted.seconds, evil: 1.0},
    )
    text = write_retrain_report(outcome, FLOW).read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert page.text.count(evil) >= 8
    assert "&amp;amp;" not in text
    assert page.row(evil, "✗ not covered any more") == ["not known"]


def test_the_same_outcome_gives_the_same_bytes(kept):
    first = write_retrain_report(kept, FLOW).read_bytes()
    assert write_retrain_report(kept, FLOW).read_bytes() == first
    assert not list(kept.log_dir.glob(".retrain*"))


def test_a_page_that_cannot_be_written_is_one_line(promoted, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = replace(promoted, log_dir=tmp_path / "file")
    with pytest.raises(
        TrainingError, match=r"retrain-\w+\.html: the report cannot be written .* promoted\.$"
    ) as raised:
        write_retrain_report(outcome, FLOW)
    assert "\n" not in str(raised.value)
