"""The command line: one verb per thing that people do. Imports nothing heavy until a verb needs it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes import Clock
from reflexarc.control.redundancy.fault_kind import FaultKind

__all__ = ["app", "main"]

app = typer.Typer(
    name="reflexarc",
    help="Robot control pipelines of cooperating learned modules on ROS 2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended: 128 + SIGINT, as shells count it."""

FlowOption = Annotated[str, typer.Option("--flow", help="Name of a flow that ships, or path of a flow file.")]
EpisodesOption = Annotated[int, typer.Option("--episodes", help="How many episodes.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Decides all episodes; none of them was trained on.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the report here as data, too.")]
StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Folder of artifacts; without it, those that ship.")
]
RealTimeFactorOption = Annotated[
    float,
    typer.Option(
        "--real-time-factor",
        help="How fast the twin's clock goes in real time: less where a flow needs more cores than there are.",
        min=0.01,
        max=1.0,
    ),
]
RunningOption = Annotated[
    str | None, typer.Option("--flow", help="Name of the running flow, if there is more than one.")
]
UseCasesOption = Annotated[
    Path | None,
    typer.Option("--usecases", help="Keep in this folder what one approach made of what others agreed on."),
]
SecureOption = Annotated[
    Path | None,
    typer.Option(
        "--secure", help="Keystore of `reflexarc secure`: strangers get nothing in and nothing out."
    ),
]
UseCasesMbOption = Annotated[
    float, typer.Option("--usecases-mb", help="For all of them together.", min=0.001)
]


@app.callback()
def _verbs() -> None:
    """Robot control pipelines of cooperating learned modules on ROS 2."""


@app.command()
def sim(
    flow: FlowOption = "arm_catch",
    episodes: EpisodesOption = 20,
    clock: Annotated[
        Clock,
        typer.Option("--clock", help="lockstep: the twin waits for each command; realtime: it does not."),
    ] = "lockstep",
    real_time_factor: RealTimeFactorOption = 1.0,
    seed: SeedOption = 0,
    json: JsonOption = None,
    store: StoreOption = None,
    usecases: UseCasesOption = None,
    usecases_mb: UseCasesMbOption = 500.0,
    secure: SecureOption = None,
) -> None:
    """Run a flow and its twin on ROS 2, a process per node, and report."""
    with _told():
        from reflexarc.control.commands.run import UseCases
        from reflexarc.control.commands.sim import run_sim

        kept = None if usecases is None else UseCases(usecases, usecases_mb)
        run_sim(flow, episodes, clock, real_time_factor, seed, json, store, kept, secure)


@app.command()
def deploy(
    robot: Annotated[
        str, typer.Option("--robot", help="Name of a robot that ships, or path of a robot file.")
    ],
    flow: FlowOption = "arm_catch",
    check: Annotated[
        bool, typer.Option("--check", help="Only look whether the robot's topics are as they must be.")
    ] = False,
    activate: Annotated[
        bool, typer.Option("--activate", help="Let the robot move as soon as all is up.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", help="Which host of the flow's deployment this is; it starts that host's part."
        ),
    ] = None,
    store: StoreOption = None,
    secure: SecureOption = None,
) -> None:
    """Run a flow beside a robot's own drivers, until Ctrl-C; it moves nothing until `activate`."""
    with _told():
        from reflexarc.control.commands.deploy import run_deploy
        from reflexarc.control.commands.deploy_check import run_check

        if not check:
            run_deploy(flow, robot, store, activate=activate, host=host, secure=secure)
        elif not run_check(flow, robot, host, secure):
            raise typer.Exit(1)


@app.command()
def activate(flow: RunningOption = None) -> None:
    """Let the guard of a deployed flow command its robot."""
    with _told():
        from reflexarc.control.commands.activate import run_activate

        run_activate(flow, is_to_move=True)


@app.command()
def deactivate(flow: RunningOption = None) -> None:
    """Bring the robot of a deployed flow to rest, and command it no more."""
    with _told():
        from reflexarc.control.commands.activate import run_activate

        run_activate(flow, is_to_move=False)


@app.command("eval")
def evaluate(
    flow: FlowOption = "arm_catch",
    episodes: EpisodesOption = 20,
    seed: SeedOption = 0,
    json: JsonOption = None,
    store: StoreOption = None,
    usecases: UseCasesOption = None,
    usecases_mb: UseCasesMbOption = 500.0,
) -> None:
    """Run a flow and its twin in one process without ROS 2, and report the same."""
    with _told():
        from reflexarc.control.commands.eval import run_eval
        from reflexarc.control.commands.run import UseCases

        kept = None if usecases is None else UseCases(usecases, usecases_mb)
        run_eval(flow, episodes, seed, json, store, kept)


@app.command()
def campaign(
    flow: FlowOption = "arm_catch_3x3",
    faults: Annotated[int, typer.Option("--faults", help="How many, one at a time.")] = 50,
    clock: Annotated[
        Clock,
        typer.Option(
            "--clock", help="lockstep: in one process; realtime: over ROS 2, processes are killed and frozen."
        ),
    ] = "lockstep",
    real_time_factor: RealTimeFactorOption = 1.0,
    seed: SeedOption = 0,
    module: Annotated[
        list[str] | None,
        typer.Option(
            "--module", help="Hit this one; repeatable. Without it, all that stands behind a voter, or all."
        ),
    ] = None,
    json: JsonOption = None,
    store: StoreOption = None,
) -> None:
    """Let modules go wrong at random, one at a time, and report what the flow made of it."""
    with _told():
        from reflexarc.control.commands.campaign import run_campaign_command

        run_campaign_command(flow, faults, clock, real_time_factor, seed, module or (), json, store)


@app.command()
def train(
    flow: FlowOption = "arm_catch",
    module: Annotated[
        list[str] | None, typer.Option("--module", help="Train this one; repeatable. Without it, all.")
    ] = None,
    store: StoreOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Decides the whole training.")] = 0,
    logs: Annotated[Path, typer.Option("--logs", help="Folder of the TensorBoard logs.")] = Path("runs"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="MODULE.KEY=VALUE", help="Change a setting of a trainer; repeatable."),
    ] = None,
    executor: Annotated[
        Literal["local", "ray"], typer.Option("--executor", help="Where to train: here, or on a Ray cluster.")
    ] = "local",
) -> None:
    """Train the modules of a flow, each with those that it needs frozen."""
    with _told():
        from reflexarc.control.commands.train import run_train

        run_train(flow, module, seed, store, logs, settings or (), executor)


@app.command()
def status(
    flow: FlowOption = "arm_catch",
    store: StoreOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as data.")] = False,
) -> None:
    """Say of each trained module whether it is up to date, and whether its contract is kept."""
    with _told():
        from reflexarc.control.commands.status import run_status

        run_status(flow, store, as_json=json)


@app.command()
def retrain(
    module: Annotated[str, typer.Argument(help="The module to train; its neighbours stay as they are.")],
    flow: FlowOption = "arm_catch",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of its trainer; repeatable."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Recorded arrays (.npz) or a folder of use cases to train on as well."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="TIME", help="End the training after 90s, 5m or 1h.")
    ] = None,
    episodes: Annotated[
        int, typer.Option("--episodes", help="Pairs of episodes, old and new, at most.")
    ] = 400,
    seed: SeedOption = 0,
    store: StoreOption = None,
    logs: Annotated[Path, typer.Option("--logs", help="Folder of logs and report.")] = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Train and promote in any case.")] = False,
) -> None:
    """Train one module again, and promote it if its contracts are kept and it is not worse."""
    with _told():
        from reflexarc.control.commands.retrain import run_retrain

        changes = settings or ()
        if not run_retrain(
            module, flow, changes, data, budget, episodes, seed, store, logs, dry_run=dry_run, force=force
        ):
            raise typer.Exit(1)


@app.command()
def rollback(
    module: Annotated[str, typer.Argument(help="The module whose last promotion is taken back.")],
    flow: FlowOption = "arm_catch",
    store: StoreOption = None,
) -> None:
    """Pin the artifact that a module had before."""
    with _told():
        from reflexarc.control.commands.retrain import run_rollback

        run_rollback(module, flow, store)


artifacts_app = typer.Typer(no_args_is_help=True, help="List, show, verify and clean up artifacts.")
app.add_typer(artifacts_app, name="artifacts")


@artifacts_app.command("list")
def artifacts_list(store: StoreOption = None) -> None:
    """List the artifacts of a store."""
    with _told():
        from reflexarc.control.commands.artifacts import run_list

        run_list(store)


@artifacts_app.command("show")
def artifacts_show(
    name: Annotated[str, typer.Argument(help="Its folder's name, or the beginning of its digest.")],
    store: StoreOption = None,
) -> None:
    """Print the manifest and metrics of one."""
    with _told():
        from reflexarc.control.commands.artifacts import run_show

        run_show(name, store)


@artifacts_app.command("verify")
def artifacts_verify(store: StoreOption = None) -> None:
    """Compare every file with its digest."""
    with _told():
        from reflexarc.control.commands.artifacts import run_verify

        run_verify(store)


@artifacts_app.command("gc")
def artifacts_gc(
    store: StoreOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove what no lock pins and no rollback leads to."""
    with _told():
        from reflexarc.control.commands.artifacts import run_gc

        run_gc(store, dry_run=dry_run)


@app.command()
def swap(
    module: Annotated[str, typer.Argument(help="Module of the flow.", show_default=False)],
    digest: Annotated[
        str | None,
        typer.Argument(
            help="Artifact: 8 or more digits of its digest; without it, the one that the lock pins now.",
            show_default=False,
        ),
    ] = None,
    flow: RunningOption = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Folder of artifacts, to make sure that the flow runs from it."),
    ] = None,
) -> None:
    """Give a module of a running flow another artifact: warmed up, watched, and rolled back on a fault."""
    with _told():
        from reflexarc.control.commands.swap import run_swap

        run_swap(module, digest, flow, store)


@app.command()
def inject(
    module: Annotated[str, typer.Option("--module", help="Module of the flow.", show_default=False)],
    fault: Annotated[
        FaultKind, typer.Option("--fault", help="What goes wrong with its outputs.", show_default=False)
    ],
    at: Annotated[float, typer.Option("--at", help="s from now until it begins.", min=0.0)] = 0.0,
    lasts: Annotated[float, typer.Option("--for", help="s that it lasts.", min=0.001)] = 0.5,
    magnitude: Annotated[
        float | None,
        typer.Option("--magnitude", help="How bad: s, a share, or the unit of the output.", min=1e-9),
    ] = None,
    seed: SeedOption = 0,
    flow: RunningOption = None,
) -> None:
    """Let a module of a running flow go wrong, on purpose."""
    with _told():
        from reflexarc.control.commands.inject import run_inject
        from reflexarc.control.redundancy.faults import Fault

        wanted = Fault(kind=fault, at_s=at, for_s=lasts, magnitude=magnitude, seed=seed)
        run_inject(module, wanted, flow)


@app.command()
def faults(
    flow: RunningOption = None,
) -> None:
    """Say what the nodes of a running flow have counted, and who departs from whom now."""
    with _told():
        from reflexarc.control.commands.faults import run_faults

        run_faults(flow)


@app.command("secure")
def secure_flow(
    out: Annotated[Path, typer.Option("--out", help="Folder to make.", show_default=False)],
    flow: FlowOption = "arm_catch",
    namespace: Annotated[
        str, typer.Option("--namespace", help="ROS namespace of the nodes, as /left; empty for none.")
    ] = "",
    robot: Annotated[
        str | None,
        typer.Option(
            "--robot", help="Robot that it is deployed to, by name or file; without it, for the twin."
        ),
    ] = None,
) -> None:
    """Make the key material of a flow: an SROS2 keystore, and mutual TLS with the same keys."""
    with _told():
        from reflexarc.control.commands.secure import run_secure

        run_secure(flow, out, namespace, robot)


@app.command()
def record(
    flow: RunningOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the bag; without it, one named by flow and time.")
    ] = None,
    lasts: Annotated[
        float | None, typer.Option("--for", help="s; without it, until Ctrl-C or the flow's end.", min=0.1)
    ] = None,
    max_mb: Annotated[
        float, typer.Option("--max-mb", help="For all files; the oldest are dropped.", min=20.0)
    ] = 4000.0,
    max_s: Annotated[
        float | None,
        typer.Option("--max-s", help="How many s are kept; the oldest files are dropped.", min=1.0),
    ] = None,
    ring: Annotated[
        float | None,
        typer.Option(
            "--ring",
            metavar="SECONDS",
            help="Keep so much in memory, and write it with what follows when a node reports an error, "
            "on SIGUSR1, or when the service record/save is called.",
            min=0.1,
        ),
    ] = None,
) -> None:
    """Record all topics of a running flow into a bag (MCAP, as rosbag2 writes it)."""
    with _told():
        from reflexarc.control.commands.record import run_record

        run_record(flow, out, lasts, max_mb, max_s, ring)


@app.command()
def replay(
    bag: Annotated[Path, typer.Argument(help="Folder that `record` or rosbag2 made.", show_default=False)],
    module: Annotated[
        list[str] | None, typer.Option("--module", help="This one; repeatable. Without it, all of the flow.")
    ] = None,
    flow: Annotated[
        str | None, typer.Option("--flow", help="Name or path of a flow, instead of that in the bag.")
    ] = None,
    store: StoreOption = None,
    json: JsonOption = None,
) -> None:
    """Feed a module what it was given in a recording, and compare its outputs bit for bit."""
    with _told():
        from reflexarc.control.commands.replay import run_replay

        if not run_replay(bag, module or (), flow, store, json):
            raise typer.Exit(1)


@app.command()
def usecases(
    folder: Annotated[Path, typer.Argument(help="Folder of use cases.")] = Path("usecases"),
) -> None:
    """List the use cases of a folder; `retrain MODULE --data FOLDER` learns from them."""
    with _told():
        from reflexarc.control.commands.usecases import run_usecases

        run_usecases(folder)


@app.command()
def graph(
    flow: FlowOption = "arm_catch",
    form: Annotated[
        Literal["text", "mermaid", "svg"], typer.Option("--format", help="What to draw it as.")
    ] = "text",
    training: Annotated[bool, typer.Option("--training", help="Draw the training graph instead.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it here instead of to the terminal.")
    ] = None,
) -> None:
    """Draw a flow."""
    with _told():
        from reflexarc.control.commands.graph import run_graph

        run_graph(flow, form, training, out)


@app.command()
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print it as data.")] = False,
) -> None:
    """Say what of ROS 2, GL and torch is there, what is missing, and how to get it."""
    with _told():
        from reflexarc.control.commands.doctor import run_doctor

        if not run_doctor(as_json=json):
            raise typer.Exit(1)


@app.command()
def bench(
    seconds: Annotated[float, typer.Option("--seconds", help="How long to measure each environment.")] = 10.0,
    json: JsonOption = None,
) -> None:
    """Measure steps per second and latencies on this machine."""
    with _told():
        from reflexarc.control.commands.bench import run_bench

        run_bench(seconds, json)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a user can cause into a line and an exit code."""
    try:
        yield
    except ReflexarcError as error:
        for line in str(error).splitlines():  # a flow file gets one per mistake
            typer.echo(f"reflexarc: {line}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("reflexarc: interrupted", err=True)
        raise typer.Exit(_INTERRUPTED) from None


def main() -> None:
    """Entry point of `reflexarc`."""
    try:
        app(prog_name="reflexarc")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
