"""The progress line: quiet at first, rarely redrawn, gone at the end."""

from __future__ import annotations

from pytest_pmpo.app.progress import ProgressLine, bar_line


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def line_with_clock() -> tuple[ProgressLine, list[str], Clock]:
    """A progress line, what it has shown, and its clock."""
    shown: list[str] = []
    clock = Clock()
    line = ProgressLine(shown.append, clock=clock)
    line.label = "x.md"
    return line, shown, clock


def test_work_of_less_than_two_seconds_shows_nothing():
    """Nothing flickers in a fast run."""
    line, shown, clock = line_with_clock()
    for done in range(11):
        clock.now = done * 0.19
        line(done, 10)
    assert shown == []


def test_slow_work_shows_share_speed_and_time_left_and_is_cleared():
    """After two seconds a line, at the end an empty one."""
    line, shown, clock = line_with_clock()
    line(0, 4000)
    clock.now = 4.0
    line(1000, 4000)
    line(4000, 4000)
    assert shown == ["x.md [######------------------] 1,000/4,000 tokens, 250 tokens/s, 12 s left", ""]


def test_it_is_redrawn_five_times_a_second_at_most():
    """A terminal is not flooded."""
    line, shown, clock = line_with_clock()
    line(0, 10_000)
    for step in range(1, 101):
        clock.now = 2.0 + step * 0.01
        line(step, 10_000)
    assert 4 <= len(shown) <= 6


def test_work_that_ends_in_an_error_is_cleared_too():
    """``finish`` is called however scoring ends, and the next work starts anew."""
    line, shown, clock = line_with_clock()
    line(0, 100)
    clock.now = 3.0
    line(50, 100)
    line.finish()
    assert shown[-1] == ""
    line(1, 100)
    assert shown[-1] == ""


def test_long_waits_are_told_in_minutes_and_hours():
    """In the unit people plan with."""
    assert bar_line(1, 1201, 1.0).endswith("20 min left")
    assert bar_line(1, 18_001, 1.0).endswith("5.0 h left")
