from __future__ import annotations

import math
import time

from fox_hpc.site.driver import _deadline
from fox_hpc.site.patience import LOOK_S, Patience
from fox_hpc.site.words import DRAIN_FILE


def test_without_a_time_limit_there_is_time_for_ever(tmp_path):
    patience = Patience(tmp_path, None)

    assert patience.left() == math.inf
    assert patience.wait_s() == LOOK_S
    assert not patience.over


def test_the_deadline_lies_before_the_time_limit_by_the_lead(tmp_path):
    deadline = float(_deadline({"FOX_TIME_LIMIT_S": "100", "FOX_SIGNAL_LEAD_S": "40"})["FOX_SOFT_DEADLINE"])

    assert 50 < Patience(tmp_path, deadline).left() <= 60


def test_a_deadline_that_has_passed_is_over(tmp_path):
    patience = Patience(tmp_path, time.time() - 1)

    assert patience.over
    assert patience.wait_s() == 0


def test_a_warning_of_the_scheduler_ends_the_time_at_once(tmp_path):
    patience = Patience(tmp_path, time.time() + 1000)
    (tmp_path / DRAIN_FILE).touch()

    assert patience.over


def test_no_time_limit_is_no_deadline():
    assert _deadline({"FOX_SIGNAL_LEAD_S": "40"}) == {}
