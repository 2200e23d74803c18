from tests import faults


def test_the_page_of_faults_is_what_the_tests_are_marked_with():
    page = faults.HERE / "FAULTS.md"
    assert page.read_text(encoding="utf-8") == faults.table()


def test_every_mark_names_a_fault():
    assert set(faults.marks()) <= set(faults.faults())
