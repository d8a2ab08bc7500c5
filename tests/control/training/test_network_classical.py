import numpy as np
import torch

from reflexarc.control.training.network_classical import ClassicalHeatMap

ORANGE, GREY, GREEN = (240, 120, 30), (120, 120, 120), (60, 200, 60)
AT = 40
"""Row and column of the middle of everything that is shown."""


def seen(network, *, color=ORANGE, width=5, depth=1.0, behind=3.0):
    """Logit in the middle of a disc on a grey wall."""
    rows, columns = np.mgrid[0:81, 0:81]
    disc = (rows - AT) ** 2 + (columns - AT) ** 2 <= (width / 2) ** 2
    image = np.where(disc[..., None], color, GREY).astype(np.uint8)
    far = np.where(disc, depth, behind).astype(np.float32)
    with torch.no_grad():
        return network(torch.from_numpy(image)[None], torch.from_numpy(far)[None])[0].numpy()


def network():
    """Weights that add up all that speaks for a ball."""
    made = ClassicalHeatMap(64.0, 0.035)
    with torch.no_grad():
        made.weigh.weight[:] = torch.tensor([1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0])[None, :, None, None]
    return made


def test_a_ball_stands_out_from_what_lacks_one_of_its_marks():
    made = network()
    ball = seen(made)[AT, AT]
    assert ball > seen(made, color=GREEN)[AT, AT] + 5
    assert ball > seen(made, width=15)[AT, AT] + 2, "three times too large for its distance"
    assert ball > seen(made, behind=1.0)[AT, AT] + 2, "painted on the wall"
    assert ball > seen(made)[5, 5] + 5


def test_the_size_that_is_looked_for_follows_the_distance():
    made = network()
    near, far = seen(made, width=9, depth=0.5)[AT, AT], seen(made, width=9, depth=2.0)[AT, AT]
    assert near > far + 2


def test_where_no_depth_was_measured_it_takes_the_farthest():
    made = network()
    unmeasured = seen(made, width=3, depth=0.0, behind=0.0)
    assert np.isfinite(unmeasured).all()
    assert np.array_equal(unmeasured, seen(made, width=3, depth=np.nan, behind=np.nan))


def test_little_of_it_is_learned():
    assert sum(parameter.numel() for parameter in network().parameters()) == 8
