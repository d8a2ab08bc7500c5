import gymnasium
import numpy as np
import pytest

import reflexarc.envs  # noqa: F401 registers the ids
from reflexarc.control.errors import FlowError, ReflexarcError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.frames import matrix_from_quaternion
from reflexarc.control.ports import refusal
from reflexarc.control.values import Float64Array, Image, JointState
from reflexarc.envs.registry import TASKS
from reflexarc.envs.robot import ACCELERATION_LIMIT, JOINT_NAMES, VELOCITY_LIMIT
from reflexarc.envs.sensors import FRAMES
from reflexarc.envs.task import TICK_S
from reflexarc.envs.twin import make_plant, nominal_camera_pose

NAMES = {"reflexarc/ArmCatch-v0": "arm_catch", "reflexarc/ArmTrack-v0": "arm_track"}
START_NS = 7_000_000_000
TICK_NS = 10_000_000


def twin_of(task_id):
    return make_plant(task_id, load_flow(NAMES[task_id]).plant.outputs)


def run(twin, ticks, command=None):
    """What is sensed in some ticks: (tick, port, value)."""
    sensed = []
    for tick in range(ticks):
        if command is not None:
            twin.accept("command", Float64Array(data=command(tick)))
        sensed += [(tick, port, value) for port, value in twin.sense()]
        twin.advance()
    return sensed


def sway(tick):
    return 0.5 * np.sin(0.1 * tick + np.arange(6))


def test_the_drives_stop_by_themselves_when_commands_stay_away():
    twin = twin_of("reflexarc/ArmCatch-v0")
    twin.reset(0, START_NS)
    twin.accept("command", Float64Array(data=np.full(6, STEP)))
    commands = []
    for _ in range(9):
        twin.advance()
        commands.append(twin.task.command[0, 0])
    assert commands[:6] == [STEP] * 6
    assert not any(commands[6:])
    twin.accept("command", Float64Array(data=np.full(6, STEP)))
    twin.advance()
    assert twin.score()["unsafe_commands"] == 0


@pytest.mark.parametrize("task_id", TASKS)
def test_the_same_seed_and_commands_give_the_states_of_the_environment(task_id):
    env = gymnasium.make(task_id, render_mode="rgb_array").unwrapped  # with its clutter in place
    env.reset(seed=11)
    twin = twin_of(task_id)
    twin.reset(11, START_NS)
    actions = np.random.default_rng(0).uniform(-1, 1, (50, 6)).astype(np.float32)
    for tick in range(50):
        if tick > 0:  # an action acts one step later; a command acts from the tick that accepts it
            data = actions[tick - 1].astype(np.float64) * VELOCITY_LIMIT
            twin.accept("command", Float64Array(data=data))
        twin.sense()  # casts rays, which must not disturb the simulation
        twin.advance()
        env.step(actions[tick])
        assert twin.task.state_bytes() == env.task.state_bytes()
        assert [a.tobytes() for a in twin.task.joints()] == [a.tobytes() for a in env.task.joints()]


@pytest.mark.parametrize("task_id", TASKS)
def test_every_value_fits_the_port_that_the_flow_declares(task_id):
    twin = twin_of(task_id)
    ports = load_flow(NAMES[task_id]).plant.outputs
    twin.reset(0, START_NS)
    sensed = run(twin, 40)
    assert {port for _, port, _ in sensed} == set(ports)
    for _, port, value in sensed:
        assert refusal(ports[port], value) is None
    joints = [value for _, port, value in sensed if port == "joint_states"]
    assert [value.stamp_ns for value in joints] == [START_NS + k * TICK_NS for k in range(40)]
    assert all(isinstance(value, JointState) and value.names == JOINT_NAMES for value in joints)


@pytest.mark.parametrize("task_id", TASKS)
def test_flow_files_say_where_the_camera_is(task_id):
    declared = load_flow(NAMES[task_id]).modules["perception"].parameters["camera_pose"]
    position, rotation = nominal_camera_pose(task_id)
    assert np.allclose(declared["position"], position)
    assert np.allclose(matrix_from_quaternion(np.array(declared["orientation_xyzw"])), rotation, atol=1e-6)


def test_frames_come_late_in_order_in_pairs_and_some_never():
    twin = twin_of("reflexarc/ArmTrack-v0")
    ages, lost, exposed = [], 0, 0
    for seed in range(3):
        twin.reset(seed, START_NS)
        sensed = run(twin, 200)
        color = [(tick, value.stamp_ns) for tick, port, value in sensed if port == "color"]
        depth = [(tick, value.stamp_ns) for tick, port, value in sensed if port == "depth"]
        assert color == depth
        stamps = [stamp for _, stamp in color]
        assert stamps == sorted(set(stamps))
        taken = [(stamp - START_NS) // TICK_NS for stamp in stamps]
        assert all(tick % FRAMES.every_ticks == 0 for tick in taken)
        ages += [tick - born for (tick, _), born in zip(color, taken, strict=True)]
        exposed += len(range(0, 194, FRAMES.every_ticks))  # the last ones are still on their way
        lost += len(range(0, 194, FRAMES.every_ticks)) - sum(born < 194 for born in taken)
    assert min(ages) == 2  # 15 ms, seen at the next tick of 10 ms
    assert max(ages) == 4
    assert 0.02 < lost / exposed < 0.09


def test_camera_info_comes_once_an_episode():
    twin = twin_of("reflexarc/ArmCatch-v0")
    for seed in range(2):
        twin.reset(seed, START_NS)
        infos = [(tick, value) for tick, port, value in run(twin, 20) if port == "camera_info"]
        assert [tick for tick, _ in infos] == [0]
        assert infos[0][1].intrinsics.tolist() == [[64.0, 0.0, 39.5], [0.0, 64.0, 63.5], [0.0, 0.0, 1.0]]


def test_an_image_is_that_of_its_stamp_and_not_of_its_arrival():
    twin, second = twin_of("reflexarc/ArmCatch-v0"), twin_of("reflexarc/ArmCatch-v0")
    twin.reset(4, START_NS)
    images = {value.stamp_ns: value.data for _, port, value in run(twin, 30, sway) if port == "color"}
    second.reset(4, START_NS)
    for tick in range(24):
        second.accept("command", Float64Array(data=sway(tick)))
        stamp = START_NS + tick * TICK_NS
        if stamp in images:
            assert np.array_equal(second.task.render(np.zeros(1, dtype=int)).color[0], images[stamp])
        second.advance()


def test_the_last_command_stays_and_before_the_first_the_joints_stand_still():
    twin = twin_of("reflexarc/ArmCatch-v0")
    twin.reset(0, START_NS)
    twin.advance()
    assert not twin.task.command.any()
    twin.accept("command", Float64Array(data=np.full(6, 0.1)))
    for _ in range(3):
        twin.advance()
        assert np.array_equal(twin.task.command[0], np.full(6, 0.1))
    assert twin.score()["unsafe_commands"] == 0


@pytest.mark.parametrize(
    "data",
    [np.full(5, 0.1), np.full((1, 6), 0.1), np.array([0.1, 0.1, np.nan, 0.1, 0.1, 0.1]), np.full(6, np.inf)],
    ids=["too few joints", "a matrix", "NaN", "infinite"],
)
def test_a_command_that_no_driver_takes_stops_the_joints_and_is_counted(data):
    twin = twin_of("reflexarc/ArmCatch-v0")
    twin.reset(0, START_NS)
    twin.accept("command", Float64Array(data=np.full(6, 0.1)))
    twin.advance()
    twin.accept("command", Float64Array(data=data))
    twin.advance()
    assert not twin.task.command.any()
    assert twin.score()["unsafe_commands"] == 1


STEP = ACCELERATION_LIMIT * TICK_S


@pytest.mark.parametrize(
    ("commands", "unsafe"),
    [
        ([STEP, 2 * STEP, STEP], 0),
        ([1.05 * STEP], 1),
        ([STEP, -0.01], 1),
        ([STEP * k for k in range(1, 16)] + [np.pi + 1e-7, np.pi], 0),
        ([STEP * k for k in range(1, 16)] + [3.15], 1),
    ],
    ids=["in limits", "too hard a start", "too hard a turn", "up to the speed limit", "beyond it"],
)
def test_a_command_beyond_the_limits_is_counted_and_limited(commands, unsafe):
    twin = twin_of("reflexarc/ArmTrack-v0")
    twin.reset(0, START_NS)
    before = np.zeros(6)
    for command in commands:
        twin.accept("command", Float64Array(data=np.full(6, command)))
        twin.advance()
        assert np.abs(twin.task.command).max() <= VELOCITY_LIMIT
        assert np.abs(twin.task.command[0] - before).max() <= STEP + 1e-12
        before = twin.task.command[0]
    assert twin.score()["unsafe_commands"] == unsafe


def test_a_lost_command_is_not_the_next_ones_fault():
    twin = twin_of("reflexarc/ArmTrack-v0")
    twin.reset(0, START_NS)
    twin.advance()
    twin.accept("command", Float64Array(data=np.full(6, 2 * STEP)))
    twin.advance()
    assert twin.score()["unsafe_commands"] == 0
    twin.accept("command", Float64Array(data=np.full(6, 4 * STEP)))
    twin.advance()
    assert twin.score()["unsafe_commands"] == 1


@pytest.mark.parametrize(
    ("changes", "unsafe"),
    [
        ([1, None, 1, 2], 0),  # in tick 2 the command of tick 1, in tick 3 those of ticks 2 and 3
        ([1, None, 1, 2, 2], 1),
        ([1, None, 2, 2], 1),
        ([0, 0, 0, 2], 1),
        ([1, None, None, None, 1, 3], 0),
        ([1, None, None, None, 1, 4], 1),
    ],
)
def test_a_late_command_leaves_its_time_to_the_next_and_no_more(changes, unsafe):
    twin = twin_of("reflexarc/ArmTrack-v0")
    twin.reset(0, START_NS)
    velocity = 0.0
    for change in changes:
        if change is not None:
            velocity += change * STEP
            twin.accept("command", Float64Array(data=np.full(6, velocity)))
        twin.advance()
    assert twin.score()["unsafe_commands"] == unsafe


def test_the_digest_is_that_of_commands_and_states():
    def digest(seed, command):
        twin = twin_of("reflexarc/ArmCatch-v0")
        twin.reset(seed, START_NS)
        run(twin, 10, command)
        return twin.trajectory_digest()

    first = digest(1, sway)
    assert first == digest(1, sway)
    assert first != digest(2, sway)
    assert first != digest(1, lambda tick: np.nextafter(sway(tick), 1.0))


def test_a_reset_forgets_frames_on_their_way():
    twin = twin_of("reflexarc/ArmCatch-v0")
    twin.reset(0, START_NS)
    run(twin, 21)
    twin.reset(1, 2 * START_NS)
    stamps = [value.stamp_ns for _, _, value in run(twin, 6) if isinstance(value, Image | JointState)]
    assert min(stamps) == 2 * START_NS


def test_an_episode_ends_with_a_score():
    twin = twin_of("reflexarc/ArmCatch-v0")
    assert twin.is_over
    twin.reset(0, START_NS)
    ticks = 0
    while not twin.is_over:
        twin.advance()
        ticks += 1
    assert 60 <= ticks <= 130
    score = twin.score()
    assert score["catch_rate"] in (0.0, 1.0)
    assert 0.0 < score["miss_distance_m"] < 1.5


def test_the_score_of_tracking_counts_from_one_second_on():
    twin = twin_of("reflexarc/ArmTrack-v0")
    twin.reset(0, START_NS)
    squared = []
    for tick in range(150):
        twin.advance()
        if tick >= 100:
            squared.append(((twin.task.ball_position() - twin.task.tcp_position) ** 2).sum())
    assert twin.score()["tracking_rmse_m"] == pytest.approx(np.sqrt(np.mean(squared)))


def test_what_the_flow_wants_and_the_twin_lacks_is_said():
    ports = load_flow("arm_catch").plant.outputs
    with pytest.raises(FlowError, match=r"no output 'colour'\. Did you mean 'color'"):
        make_plant("reflexarc/ArmCatch-v0", {"colour": ports["color"]})
    small = ports["color"].model_copy(update={"shape": (64, 64, 3)})
    with pytest.raises(FlowError, match=r"has shape \(64, 64, 3\), the twin's is \(128, 80, 3\)"):
        make_plant("reflexarc/ArmCatch-v0", {**ports, "color": small})
    twin = twin_of("reflexarc/ArmCatch-v0")
    with pytest.raises(ReflexarcError, match=r"no input 'comand'\. Did you mean 'command'"):
        twin.accept("comand", Float64Array(data=np.zeros(6)))
