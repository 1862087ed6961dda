import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

import pytest
import torch
from scipy import stats

from fieldcast.models import random_streams
from fieldcast.models.random_streams import RandomStreams, philox, seed_for

ZEROS, ONES = (0,) * 6, (0xFFFFFFFF,) * 6
DIGITS_OF_PI = 0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0


def reference(counter: Sequence[int], key: Sequence[int]) -> tuple[int, ...]:
    """Philox4x32-7 as its authors write it: (L, R) -> (mulhi(R, M) xor k xor L', mullo(R, M)) seven times."""
    (r0, l0, r1, l1), (k0, k1) = counter, key
    for _ in range(7):
        p0, p1 = r0 * 0xD2511F53, r1 * 0xCD9E8D57
        r0, l0, r1, l1 = (p1 >> 32) ^ l0 ^ k0, p1 % 2**32, (p0 >> 32) ^ l1 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return r0, l0, r1, l1


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (ZEROS, (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
        (ONES, (0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662)),
        (DIGITS_OF_PI, (0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A)),
    ],
)
def test_the_generator_gives_the_published_words(bits, expected):
    """Known answers of the authors' reference implementation, Random123, of philox4x32 with seven rounds."""
    counter, key = bits[:4], bits[4:]
    assert reference(counter, key) == expected
    assert philox(counter, key) == expected
    assert tuple(int(w) for w in philox(tuple(torch.tensor([word]) for word in counter), key)) == expected


def test_the_generator_is_the_reference_whatever_the_shapes_of_its_counter():
    place, member, datum = (
        torch.arange(5),
        torch.arange(3)[:, None],
        torch.tensor([0, 7, 2**32 - 1])[:, None, None],
    )
    key = 2**32 - 5, 12345
    bits = philox((place, torch.tensor(9), member, datum), key)
    for i, j, k in product(range(3), range(3), range(5)):
        expected = reference((k, 9, j, int(datum[i])), key)
        assert tuple(int(w.expand(3, 3, 5)[i, j, k]) for w in bits) == expected


@pytest.mark.parametrize("size", [1, 3, 40, 4 * 700])
def test_words_drawn_in_pieces_are_those_of_the_tensors(size, monkeypatch):
    """Words of all places, members and data beside the integers of torch, however many are mapped at a time."""
    monkeypatch.setattr(random_streams, "PIECE", 128)
    streams = RandomStreams(2**62 + 5, torch.tensor([0, 9, 2**33 + 1]), 2, step=4, first=3).fork(7)
    counter = (
        torch.arange(-(-size // 4)),
        torch.tensor(0),
        streams.numbers[:, :, None],
        streams.datum & 0xFFFFFFFF,
    )
    expected = torch.cat(philox((*counter[:3], counter[3][:, None, None]), streams.key), dim=-1)
    words = streams._words((size,))
    assert words.dtype == torch.int64 and torch.equal(words, expected)


def test_draws_do_not_depend_on_batching_nor_on_how_many_members_are_drawn_at_once():
    whole = RandomStreams(3, torch.arange(10), 19, 5).normal(4, 7)
    piece = RandomStreams(3, torch.tensor([6, 2]), 3, 5, first=11).normal(4, 7)
    assert torch.equal(piece, whole[[6, 2]][:, 11:14])


def test_rows_hold_the_same_numbers_as_members():
    streams = RandomStreams(0, torch.arange(3), 4)
    assert torch.equal(streams.per_row().normal(5)[:, 0].unflatten(0, (3, 4)), streams.normal(5))


def test_every_part_of_the_key_changes_the_numbers_and_the_global_state_does_not():
    def draw(seed=1, datum=2, step=3, fork=None, lead=0):
        streams = RandomStreams(seed, torch.tensor([datum]), 1, step).at_lead(lead)
        return (streams if fork is None else streams.fork(fork)).uniform(8)

    torch.manual_seed(1)
    first = draw()
    torch.manual_seed(2)
    torch.rand(100)
    assert torch.equal(draw(), first)
    for other in (draw(seed=2), draw(datum=3), draw(step=4), draw(fork=0), draw(lead=1)):
        assert not torch.isclose(other, first).any()


def test_streams_are_distinct_under_nesting():
    """Forks, steps, leads, calls and seeds that a sum would mistake for one another."""
    root = RandomStreams(0, torch.arange(2))
    later = RandomStreams(0, torch.arange(2))
    later.normal(1)
    streams = {
        "fork 3, fork 1": root.fork(3).fork(1), "fork 1, fork 3": root.fork(1).fork(3), "fork 5": root.fork(5),
        "fork 4": root.fork(4), "fork 4, fork 0": root.fork(4).fork(0), "fork 2^32 + 4": root.fork(2**32 + 4),
        "step 1, lead 2": RandomStreams(0, torch.arange(2), step=1).at_lead(2),
        "step 3": RandomStreams(0, torch.arange(2), step=3), "lead 3": root.at_lead(3),
        "step 2^32 + 3": RandomStreams(0, torch.arange(2), step=2**32 + 3),
        "seed 1": RandomStreams(1, torch.arange(2)), "seed 2^32": RandomStreams(2**32, torch.arange(2)),
        "root": root, "root, later": later, "fork 4, later": later.fork(4),
        "fork 1, lead 3": root.fork(1).at_lead(3), "fork 3, lead 1": root.fork(3).at_lead(1),
        "persistent 4": root.persistent(4), "persistent, fork 4": root.persistent().fork(4),
        "of a purpose": RandomStreams(seed_for("a", 0), torch.arange(2)),
        "of another": RandomStreams(seed_for("b", 0), torch.arange(2)),
    }  # fmt: skip
    numbers = {name: draws.uniform(16) for name, draws in streams.items()}
    for (name, ours), (other, second) in combinations(numbers.items(), 2):
        assert not (ours == second).any(), f"{name} is {other}"


def test_a_fork_does_not_shift_what_is_drawn_after_it():
    draws, forked = RandomStreams(0, torch.arange(2)), RandomStreams(0, torch.arange(2))
    forked.fork(0).normal(5)
    assert torch.equal(draws.normal(4), forked.normal(4))


def test_calls_are_independent():
    streams = RandomStreams(0, torch.arange(2000))
    a, b = streams.normal(1).flatten(), streams.normal(1).flatten()
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 4 / math.sqrt(2000)


def test_draws_used_again_are_the_same_and_kept_apart_by_call_size_and_datum():
    def draws(first: int = 0) -> RandomStreams:
        return RandomStreams(0, torch.arange(first, first + 3), 2)

    stream, fresh = draws(), draws()
    expected = fresh.normal(6), fresh.normal(2, 3), fresh.uniform(5)
    for _ in range(2):
        used = stream.again()
        for ours, second in zip((used.normal(6), used.normal(2, 3), used.uniform(5)), expected, strict=True):
            assert torch.equal(ours, second)
    assert torch.equal(stream.again().uniform(6), draws().uniform(6))
    assert torch.equal(stream.again().fork(1).normal(6), draws().fork(1).normal(6))
    assert torch.equal(replace(stream.again(), datum=draws(5).datum).normal(6), draws(5).normal(6))
    assert torch.equal(stream.again().per_row().normal(6).flatten(), draws().normal(6).flatten())
    assert torch.equal(stream.again().alone().normal(6), draws().alone().normal(6))


def test_what_lasts_is_the_same_at_every_lead_and_differs_by_step_and_stream():
    def draws(step: int = 3, lead: int = 0, drawn: int = 0) -> RandomStreams:
        streams = RandomStreams(1, torch.arange(3), 3, step).fork(lead).at_lead(lead)
        streams.normal(drawn)
        return streams

    persistent = draws().persistent().normal(5)
    assert torch.equal(draws(lead=7, drawn=4).persistent().normal(5), persistent)
    assert torch.equal(draws().per_row().persistent().normal(5)[:, 0].unflatten(0, (3, 3)), persistent)
    for other in (draws(step=4).persistent(), draws().persistent(1), draws()):
        assert not torch.isclose(other.normal(5), persistent).any()


def test_distributions():
    streams = RandomStreams(7, torch.arange(100), 10)
    assert stats.kstest(streams.normal(101).flatten().numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(streams.uniform(101).flatten().numpy(), "uniform").pvalue > 1e-3
    counts = torch.bincount(streams.integers(5, 100).flatten(), minlength=5)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_uniform_draws_never_reach_one(monkeypatch):
    """The largest word, which single precision would round up to one."""
    largest = torch.full((1, 1, 4), 0xFFFFFFFF)
    monkeypatch.setattr(RandomStreams, "_words", lambda *_: largest)
    assert float(RandomStreams(0, torch.zeros(1, dtype=torch.long)).uniform(1)) < 1
    assert int(RandomStreams(0, torch.zeros(1, dtype=torch.long)).integers(7)) == 6


def test_divided_rows_hold_the_numbers_of_as_many_members():
    """Row (datum, member m) divided by 4: the members 4 m .. 4 m + 3 of the datum, in this order."""
    divided = RandomStreams(7, torch.tensor([5, 9]), 3).divided(4).normal(6)
    members = RandomStreams(7, torch.tensor([5, 9]), 12).normal(6)
    assert torch.equal(divided[:, 0], members.flatten(0, 1))


def test_some_data_or_members_have_the_numbers_that_they_have_among_all():
    streams = RandomStreams(0, torch.tensor([4, 2, 9]), 6, first=2)
    whole, members, data = streams.normal(5), torch.tensor([0, 3, 5]), torch.tensor([2, 0])
    some = RandomStreams(0, torch.tensor([4, 2, 9]), 6, first=2).of_members(members)
    assert torch.equal(some.normal(5), whole[:, members])
    assert torch.equal(
        some.per_row().normal(5)[:, 0].unflatten(0, (3, 3)), streams.of_members(members).normal(5)
    )
    assert torch.equal(
        RandomStreams(0, torch.tensor([4, 2, 9]), 6, first=2).of_members(slice(1, 3)).normal(5), whole[:, 1:3]
    )
    both = RandomStreams(0, torch.tensor([4, 2, 9]), 6, first=2).of_members(members).of_data(data)
    assert torch.equal(both.normal(5), whole[data][:, members])
    rows = RandomStreams(0, torch.tensor([4, 2, 9]), 6, first=2).per_row().of_data(data)
    assert torch.equal(rows.normal(5)[:, 0], whole.flatten(0, 1)[data])
