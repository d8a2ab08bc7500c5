"""Draws `docs/arm_catch.gif`: an episode of a flow in LocalRuntime, as a bystander and as its camera see it.

Run: `.venv/bin/python docs/picture.py [FLOW] [SEED]` (needs Pillow, part of the extra `dev`).
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from reflexarc.control.artifacts.store import resolve_artifacts
from reflexarc.control.flow_file import load_flow
from reflexarc.control.local import LocalRuntime
from reflexarc.control.modules import make_module
from reflexarc.control.seeds import evaluation_seeds
from reflexarc.envs.camera import HEIGHT, RaycastCamera, looking_at
from reflexarc.envs.twin import Twin

ONLY = np.zeros(1, dtype=np.int64)
BYSTANDER = looking_at((1.5, -2.2, 1.2), (0.9, 0.0, 0.65))
EVERY_TICKS, SCALE = 3, 2


class WatchedTwin(Twin):
    """A twin that is drawn as it goes."""

    frames: list[Image.Image]

    def advance(self) -> None:
        """Let one tick pass, and draw every third."""
        super().advance()
        if int(self.task.steps[0]) % EVERY_TICKS == 0 or self.is_over:
            self.frames.append(self._draw())

    def _draw(self) -> Image.Image:
        seen = self.task.render(ONLY).color[0]
        look = self.task.look
        true_pose = look.position.copy(), look.rotation.copy()
        look.position[:], look.rotation[:] = BYSTANDER.position, BYSTANDER.rotation
        size = {"height": SCALE * HEIGHT, "width": SCALE * 160, "focal_px": SCALE * 150.0}
        watched = RaycastCamera(**size).render(self.task.batch, look, ONLY).color[0]
        look.position[:], look.rotation[:] = true_pose
        enlarged = seen.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
        gap = np.full((SCALE * HEIGHT, 4, 3), 255, dtype=np.uint8)
        return Image.fromarray(np.concatenate([watched, gap, enlarged], axis=1))


def main(name: str = "arm_catch", seed: str = "0") -> None:
    """Run one episode and write the picture beside this file."""
    flow = load_flow(name)
    artifacts = resolve_artifacts(flow)
    modules = {module: make_module(spec, artifacts.get(module)) for module, spec in flow.modules.items()}
    twin = WatchedTwin(flow.plant.env, flow.plant.outputs)
    twin.frames = []
    result = LocalRuntime(flow, modules, twin).run(evaluation_seeds(int(seed), 1))
    path = Path(__file__).with_name(f"{name}.gif")
    first, *rest = [frame.quantize(96) for frame in twin.frames]
    first.save(path, save_all=True, append_images=rest, duration=60, loop=0, optimize=True)
    print(
        f"{path}: {len(twin.frames)} frames, {path.stat().st_size // 1024} kB, {dict(result.episodes[0].score)}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
