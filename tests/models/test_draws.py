import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from fieldcast.models.draws import Draws, philox


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (0xFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ],
)
def test_the_generator_gives_the_published_words(word, expected):
    """Known answers of the authors' reference implementation, Random123."""
    counter = tuple(torch.tensor([word]) for _ in range(4))
    assert tuple(int(w) for w in philox(counter, (word, word))) == expected


def test_draws_do_not_depend_on_batching_nor_on_how_many_members_are_drawn_at_once():
    whole = Draws(3, torch.arange(10), 19, 5).normal(4, 7)
    piece = Draws(3, torch.tensor([6, 2]), 3, 5, first=11).normal(4, 7)
    assert torch.equal(piece, whole[[6, 2]][:, 11:14])


def test_rows_hold_the_same_numbers_as_members():
    draws = Draws(0, torch.arange(3), 4)
    assert torch.equal(draws.per_row().normal(5)[:, 0].unflatten(0, (3, 4)), draws.normal(5))


def test_every_part_of_the_key_changes_the_numbers_and_the_global_state_does_not():
    def draw(seed=1, datum=2, step=3, fork=None, lead=0):
        draws = Draws(seed, torch.tensor([datum]), 1, step).at_lead(lead)
        return (draws if fork is None else draws.fork(fork)).uniform(8)

    torch.manual_seed(1)
    first = draw()
    torch.manual_seed(2)
    torch.rand(100)
    assert torch.equal(draw(), first)
    for other in (draw(seed=2), draw(datum=3), draw(step=4), draw(fork=0), draw(lead=1)):
        assert not torch.isclose(other, first).any()


def test_calls_are_independent():
    draws = Draws(0, torch.arange(2000))
    a, b = draws.normal(1).flatten(), draws.normal(1).flatten()
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 4 / math.sqrt(2000)


def test_draws_used_again_are_the_same_and_kept_apart_by_call_size_and_datum():
    def draws(first: int = 0) -> Draws:
        return Draws(0, torch.arange(first, first + 3), 2)

    one, fresh = draws(), draws()
    expected = fresh.normal(6), fresh.normal(2, 3), fresh.uniform(5)
    for _ in range(2):
        used = one.again()
        for ours, theirs in zip((used.normal(6), used.normal(2, 3), used.uniform(5)), expected, strict=True):
            assert torch.equal(ours, theirs)
    assert torch.equal(one.again().uniform(6), draws().uniform(6))
    assert torch.equal(one.again().fork(1).normal(6), draws().fork(1).normal(6))
    assert torch.equal(replace(one.again(), datum=draws(5).datum).normal(6), draws(5).normal(6))
    assert torch.equal(one.again().per_row().normal(6).flatten(), draws().normal(6).flatten())
    assert torch.equal(one.again().alone().normal(6), draws().alone().normal(6))


def test_what_lasts_is_the_same_at_every_lead_and_differs_by_step_and_stream():
    def draws(step: int = 3, lead: int = 0, drawn: int = 0) -> Draws:
        made = Draws(1, torch.arange(3), 3, step).fork(lead).at_lead(lead)
        made.normal(drawn)
        return made

    lasting = draws().lasting().normal(5)
    assert torch.equal(draws(lead=7, drawn=4).lasting().normal(5), lasting)
    assert torch.equal(draws().per_row().lasting().normal(5)[:, 0].unflatten(0, (3, 3)), lasting)
    for other in (draws(step=4).lasting(), draws().lasting(1), draws()):
        assert not torch.isclose(other.normal(5), lasting).any()


def test_distributions():
    draws = Draws(7, torch.arange(100), 10)
    assert stats.kstest(draws.normal(101).flatten().numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(draws.uniform(101).flatten().numpy(), "uniform").pvalue > 1e-3
    counts = torch.bincount(draws.integers(5, 100).flatten(), minlength=5)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_uniform_draws_never_reach_one(monkeypatch):
    """The largest word, which single precision would round up to one."""
    largest = torch.full((1, 1, 4), 0xFFFFFFFF)
    monkeypatch.setattr(Draws, "_words", lambda *_: largest)
    assert float(Draws(0, torch.zeros(1, dtype=torch.long)).uniform(1)) < 1
    assert int(Draws(0, torch.zeros(1, dtype=torch.long)).integers(7)) == 6
