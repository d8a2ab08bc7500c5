"""Which ids there are, and the task behind each."""

from reflexarc.control.errors import FlowError, did_you_mean
from reflexarc.envs.task import ArmTask
from reflexarc.envs.tasks.arm_catch import ArmCatch
from reflexarc.envs.tasks.arm_track import ArmTrack

__all__ = ["TASKS", "task_class"]

TASKS: dict[str, type[ArmTask]] = {
    "reflexarc/ArmCatch-v0": ArmCatch,
    "reflexarc/ArmTrack-v0": ArmTrack,
}


def task_class(task_id: str) -> type[ArmTask]:
    """The task of an id.

    Raises:
        FlowError: There is none.
    """
    if task_id not in TASKS:
        raise FlowError(f"environment '{task_id}' is not known. {did_you_mean(task_id, TASKS)}")
    return TASKS[task_id]
