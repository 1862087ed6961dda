"""Progress of loops."""

import time

import pytest

from fieldcast.runtime import Progress, duration, log_progress, seconds_of, state


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (95, "1 min 30 s"), (569, "9 min 30 s"), (571, "10 min"),
     (4799, "1 h 20 min")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_loops_report_progress_outermost_first() -> None:
    for _ in Progress(range(2), unit="case"):
        with Progress(total=40, initial=20, unit="step") as bar:
            outer, inner = state().split("; ")
            assert "of 2 cases" in outer and inner == "20 of 40 steps"
            bar.update(10)
            assert state().split("; ")[1].startswith("30 of 40 steps, about ")
        assert state().endswith("of 2 cases") or "of 2 cases, about" in state()
    assert state() == ""


def test_the_state_of_a_loop_is_told_until_it_ends() -> None:
    lines: list[str] = []
    with log_progress(lines.append, 0.01), Progress(total=2, unit="case"):
        while not lines:
            time.sleep(0.01)
    number = len(lines)
    time.sleep(0.05)
    assert set(lines) == {"0 s: 0 of 2 cases"} and len(lines) <= number + 1


def test_the_time_left_runs_down_within_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps of ten minutes; the third takes longer."""
    clock = [0.0]
    with Progress(total=4, unit="trial") as bar:
        monkeypatch.setattr(bar, "_time", lambda: bar.start_t + 60 * clock[0])
        clock[0] = 20.0
        bar.update(2)
        texts = []
        for clock[0] in (20.0, 25.0, 30.0, 40.0):
            texts.append(state().partition("about ")[2])
    assert texts == ["20 min left", "15 min left", "10 min left", "10 min left"]


def test_the_time_left_of_very_many_steps_needs_no_list_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with Progress(total=10**12, unit="value") as bar:
        monkeypatch.setattr(bar, "_time", lambda: bar.start_t + 600.0)
        bar.update(25 * 10**10)
        assert state().endswith("of 1000000000000 values, about 30 min left")


def test_a_step_takes_at_least_as_long_as_the_loop_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of three steps took a minute; half of a loop in the second one took five minutes."""
    with Progress(total=3, unit="trial") as outer, Progress(total=20, unit="value") as inner:
        for bar in (outer, inner):
            monkeypatch.setattr(bar, "_time", lambda bar=bar: bar.start_t + 60 * clock)
        clock = 1.0
        outer.update()
        clock = 5.0
        inner.update(10)
        assert state() == "1 of 3 trials, about 6 min left; 10 of 20 values, about 5 min left"


def test_no_time_is_left_after_the_last_step_however_long_its_end_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Progress(total=2, unit="step") as bar:
        monkeypatch.setattr(bar, "_time", lambda: bar.start_t + clock)
        clock = 4.0
        bar.update(2)
        clock = 9.0
        assert state() == "2 of 2 steps, about 0 s left"


def test_steps_measured_as_none_do_not_make_the_time_left_absurd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of 0 s by the clock of the processor, and two of 30 s that are expected."""
    with Progress(total=4, unit="step") as bar:
        monkeypatch.setattr(bar, "_time", lambda: bar.start_t + 0.01)
        bar.work = [0.0, 0.0, 30.0, 30.0]
        bar.update(2)
        assert state() == "2 of 4 steps, about 1 min left"


def test_a_loop_of_unknown_length_counts() -> None:
    with Progress(unit="case") as bar:
        bar.update(3)
        assert state() == "3 cases"


def test_a_loop_that_an_error_ends_is_forgotten() -> None:
    with pytest.raises(RuntimeError):
        for _ in Progress(range(2), unit="case"):
            raise RuntimeError
    assert state() == ""


def test_the_time_left_follows_the_expected_work_of_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of a minute took two minutes; ten minutes and one of double length are left."""
    with Progress(total=4, unit="step", work=[1, 1, 10, 2]) as bar:
        monkeypatch.setattr(bar, "_time", lambda: bar.start_t + 60 * clock)
        clock = 2.0
        bar.update(2)
        assert state() == "2 of 4 steps, about 12 min left"
        clock = 8.0
        assert state() == "2 of 4 steps, about 6 min left"
        clock = 30.0
        assert state() == "2 of 4 steps, about 2 min left"


def test_a_loop_whose_bar_is_off_ends_and_a_resumed_one_counts_its_own_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Progress(total=3, initial=2, unit="thing", disable=True) as bar:
        bar.update()
    assert seconds_of("thing") == 0
    moments = iter((10.0, 16.0))
    monkeypatch.setattr("fieldcast.runtime.time.perf_counter", lambda: next(moments))
    with Progress(total=10, initial=7, unit="thing") as bar:
        bar.update(3)
    assert seconds_of("thing") == pytest.approx(2.0)
