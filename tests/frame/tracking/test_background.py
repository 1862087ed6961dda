"""A thread that does actions in turn: what was submitted is done before `settle` returns."""

import time

from fieldcast.frame.tracking.background import Background


class Slow(Background):
    """Notes what it has done, and records no content that a sentence could name."""

    def __init__(self) -> None:
        super().__init__("slow")
        self.done: list[int] = []

    def content(self, action, *args):
        return ""

    def write(self, number: int) -> None:
        time.sleep(0.1)
        self.done.append(number)


def test_settled_means_that_every_action_is_done_also_those_without_a_content():
    thread = Slow()
    thread.start()
    for number in range(3):
        thread.submit(thread.write, number)
    thread.settle(10)
    assert thread.done == [0, 1, 2]
    thread.drain(10)


def test_a_failed_action_is_settled_and_listed_as_lost():
    thread = Background("fails")
    thread.start()
    thread.submit(fail)
    thread.settle(10)
    assert thread.unwritten() == ["fail"] and "no disk" in thread.first_error
    thread.drain(10)


def fail() -> None:
    raise OSError("no disk")
