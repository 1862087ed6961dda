"""Progress of loops."""

import pytest

from fieldcast.progress import Progress, duration, state


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


def test_a_loop_of_unknown_length_counts() -> None:
    with Progress(unit="case") as bar:
        bar.update(3)
        assert state() == "3 cases"


def test_a_loop_that_an_error_ends_is_forgotten() -> None:
    with pytest.raises(RuntimeError):
        for _ in Progress(range(2), unit="case"):
            raise RuntimeError
    assert state() == ""
