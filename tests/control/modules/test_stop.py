from reflexarc.control.modules.stop import DEAD_MAN, EMERGENCY, Stop

MS = 1_000_000


def test_an_emergency_stop_latches():
    stop = Stop()
    assert stop.reason(0) is None
    stop.press()
    assert stop.reason(10**15) == EMERGENCY
    stop.release()
    assert stop.reason(10**15) is None


def test_a_dead_mans_switch_has_to_be_held_and_to_say_so_again_and_again():
    stop = Stop(0.2)
    assert stop.reason(0) == DEAD_MAN, "nobody has said that it is held"
    stop.report_dead_man(True, 100 * MS)
    assert stop.reason(300 * MS) is None
    assert stop.reason(301 * MS) == DEAD_MAN
    stop.report_dead_man(True, 302 * MS)
    assert stop.reason(303 * MS) is None
    stop.report_dead_man(False, 304 * MS)
    assert stop.reason(304 * MS) == DEAD_MAN


def test_the_emergency_stop_comes_first_and_holding_the_switch_does_not_release_it():
    stop = Stop(0.2)
    stop.press()
    stop.report_dead_man(True, 0)
    assert stop.reason(0) == EMERGENCY
    stop.release()
    assert stop.reason(0) is None
