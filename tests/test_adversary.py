"""Attackers in all ways at once, and an honest station that does not notice; the short form."""

import shutil

import pytest

from tests.adversary.__main__ import failures, trial
from tests.adversary.attacks import ALL
from tests.adversary.scene import MOLES


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.fault("F5", "F8", "F9", "F11", "F12")
def test_an_honest_station_does_not_notice_attackers_beside_it(tmp_path):
    """``python -m tests.adversary --minutes 10`` is the long form."""
    for command in ("mosquitto", "openssl"):
        if shutil.which(command, path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin") is None:
            pytest.skip(f"no {command} on this machine, expected one for this test")
    result = trial(tmp_path, seconds=8, speed=12)
    assert failures(result) == [], result


def test_what_should_not_be_is_a_failure():
    """The judge can fail: each figure that is wrong is named."""
    good = {
        "attacks": {"foreign refused": 1}, "broker_ended": False, "board_ended": False,
        "board_exit": 0, "tracebacks": 0, "rows_equal": True, "rows": 10, "honest_lost": 0,
        "honest_connections_lost": 0, "attacked_health": {"refused": 1},
        "board_lost_broker": 0, "health_answered": True,
    }  # fmt: skip
    assert failures(good) == []
    bad = {
        "attacks": {"foreign taken": 1, "heard": 1}, "broker_ended": True, "board_ended": True,
        "board_exit": 1, "tracebacks": 1, "rows_equal": False, "rows": 0, "honest_lost": 1,
        "honest_connections_lost": 1, "attacked_health": {"refused": 0},
        "board_lost_broker": 1, "health_answered": False,
    }  # fmt: skip
    assert len(failures(bad)) == 14
    assert len(MOLES) == len(ALL), "each attacker has a device of its own"
