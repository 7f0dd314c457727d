"""The demo as a newcomer runs it, on real data, with its reader standing still for ten seconds in the middle."""

import re

from tests.demo_home import DemoRun, run_demo


def test_the_demo_promotes_v2_and_rolls_v3_back(demo: DemoRun) -> None:
    assert demo.code == 0, demo.said
    assert "v2: promote." in demo.said
    assert "the offline gate refuses v3" in demo.said
    assert "v3: roll_back." in demo.said


def test_a_reader_that_stood_still_lost_nothing_and_counted_nothing_twice(demo: DemoRun) -> None:
    assert "clean: 0 lost, 0 duplicated, 0 waiting" in demo.said, demo.said


def test_no_viewer_met_an_error(demo: DemoRun) -> None:
    assert re.search(r"[0-9,]+ visits of this run: [0-9,]+ videos started, 0 failed", demo.said), demo.said


def test_a_second_run_goes_on_from_there(demo: DemoRun) -> None:
    again = run_demo(demo.home)
    assert again.code == 0, again.said
    assert "the history is already stored" in again.said
    assert "the first recommendation, by v2" in again.said
    assert "Training" not in again.said
