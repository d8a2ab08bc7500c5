"""reflexarc.envs: the simulated robots and their tasks. Knows no ROS."""

import gymnasium

for _id in ("reflexarc/ArmCatch-v0", "reflexarc/ArmTrack-v0"):
    if _id not in gymnasium.registry:
        gymnasium.register(id=_id, entry_point="reflexarc.envs.single:ArmEnv", kwargs={"task_id": _id})
