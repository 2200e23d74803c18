import pytest

from tests import kills, power_cuts


@pytest.mark.slow
@pytest.mark.fault("F30")
def test_no_row_that_a_killed_writer_reported_is_missing(tmp_path):
    report = kills.run(tmp_path / "log.db", 20, seed=7)
    assert (report.kills, report.missing, report.torn, report.damaged) == (20, 0, 0, 0)
    assert (report.alarms, report.reported > 1000) == (0, True)


@pytest.mark.slow
@pytest.mark.fault("F31")
def test_a_power_cut_takes_no_batch_that_was_to_last_and_tears_none(tmp_path):
    report = power_cuts.run(tmp_path, 60, seed=7)
    assert (report.cuts, report.missing, report.torn, report.damaged) == (60, 0, 0, 0)
