"""Counter-based random numbers, functions of (seed, step, forks, lead, datum, member, call, place) alone.

Philox4x32-7 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.2): seven rounds, the fewest
that pass every test of BigCrush (table 2), of

    (L, R) -> (mulhi(R, M) xor k xor L', mullo(R, M)),    k -> k + W,

turn a counter of four words and a key of two into four random words. The counter is (place, call, member, datum). Keys
form a tree: the seed is the key of its root, and each step, fork and lead maps the previous key to a new one by a
separate Philox call. So nested streams are distinct, except persistent ones, which ignore forks; a draw does not depend
on how data are batched, a restart needs no saved generator state, and torch's global generator is never touched.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

WORD = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57  # M of the two halves, Salmon et al. 2011, table 2
WEYL = 0x9E3779B9, 0xBB67AE85  # W: golden ratio and sqrt(3) - 1, in 32 bits
ROUNDS = 7
PIECE = 2**14  # counters that are mapped at a time on the CPU
STEP, FORK, PERSISTENT, LEAD = range(4)  # the edges of the tree of keys

Word = TypeVar("Word", int, Tensor, np.ndarray)
Key = tuple[int, int]


def philox(counter: tuple[Word, Word, Word, Word], key: Key) -> tuple[Word, Word, Word, Word]:
    """Map four counter words to four random words: ints, or int64 arrays or tensors of 32 bits that broadcast."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p, q = a * MULTIPLIERS[0], c * MULTIPLIERS[1]  # modulo 2^64: the sign bit is an ordinary bit
        # b and d keep their high bits until they are combined with k, which saves an operation
        a, c = (q >> 32) ^ b, (p >> 32) ^ d
        a ^= k0  # in place, because memory bandwidth limits the speed
        c ^= k1
        a &= WORD
        c &= WORD
        b, d = q, p
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return a, b & WORD, c, d & WORD


def seed_for(purpose: str, *numbers: int) -> int:
    """A seed of 63 bits from the name of its purpose, so that no list of used numbers is needed."""
    text = f"{purpose} {numbers}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator_for(purpose: str, *numbers: int) -> torch.Generator:
    """Torch's own generator with the seed of a purpose, for permutations and other draws on the CPU."""
    # the generator uses 32 bits alone
    return torch.Generator().manual_seed(seed_for(purpose, *numbers) % 2**32)


@dataclass
class RandomStreams:
    """Random tensors (B, M, *shape) for B data and M members each.

    Each call of `normal` or `uniform` increments `call`, so that two calls are independent. A function that forks its
    draws passes forks to the parts that it calls: otherwise its streams and those of a part could coincide.

    Parameters
    ----------
    seed
        Seed of all draws.
    datum
        Number of each datum; its draws depend on this number, and not on the batch.
    members
        Number of members M.
    step
        Step of the training.
    lead
        Step of a rollout.
    call
        Number of the next call.
    first
        Number of the first member, for ensembles that are drawn in pieces.
    number
        Number of each member; None if they follow `first`.
    path
        Kind, stream and call of each fork.
    """

    seed: int
    datum: Int[Tensor, " batch"]
    members: int = 1
    step: int = 0
    lead: int = field(default=0, kw_only=True)
    call: int = field(default=0, kw_only=True)
    first: int = field(default=0, kw_only=True)
    number: Int[Tensor, "batch members"] | None = field(default=None, kw_only=True)
    path: tuple[tuple[int, int, int], ...] = field(default=(), kw_only=True)
    cached: dict[tuple[object, int, int], Tensor] | None = field(default=None, init=False, repr=False)

    @property
    def numbers(self) -> Int[Tensor, "batch members"]:
        """Number of each member."""
        if self.number is not None:
            return self.number
        following = torch.arange(self.first, self.first + self.members, device=self.datum.device)
        return following.expand(len(self.datum), -1)

    @property
    def key(self) -> Key:
        """The key at the end of the path, whose root is the seed."""
        k0, k1 = self.seed & WORD, self.seed >> 32 & WORD
        for kind, number, call in ((STEP, self.step, 0), *self.path, (LEAD, self.lead, 0)):
            k0, k1, _, _ = philox((number & WORD, number >> 32 & WORD, call, kind), (k0, k1))
        return k0, k1

    def _words(self, shape: tuple[int, ...]) -> Tensor:
        """Words (B, M, 4 * ceil(size / 4)) of this call; cached for draws with several uses."""
        call, size = self.call, math.prod(shape)
        self.call += 1
        if self.cached is None:
            return self._new_words(call, size)
        if (self.path, call, size) not in self.cached:
            self.cached[self.path, call, size] = self._new_words(call, size)
        return self.cached[self.path, call, size]

    def _new_words(self, call: int, size: int) -> Tensor:
        count, device = -(-size // 4), self.datum.device
        place = torch.arange(count, device=device)
        datum = (self.datum & WORD)[:, None, None]
        counter = place, torch.tensor(call, device=device), self.numbers[:, :, None], datum
        if device.type != "cpu":
            return torch.cat(philox(counter, self.key), dim=-1)
        # the integers of NumPy need a third of the time of torch's; pieces stay in the cache
        places, *others = (words.numpy() for words in counter)
        words = np.empty((len(datum), self.members, 4, count), np.int64)
        step = max(1, PIECE // max(1, len(datum) * self.members))
        for first in range(0, count, step):
            piece = slice(first, first + step)
            for number, bits in enumerate(philox((places[piece], *others), self.key)):
                words[:, :, number, piece] = bits
        return torch.from_numpy(words).flatten(start_dim=2)

    def uniform(self, *shape: int) -> Float[Tensor, "batch members *shape"]:
        """Uniform on (0, 1), never 0 or 1: 24 bits and a half."""
        bits = self._words(shape)[..., : math.prod(shape)] >> 8
        u = bits.float().add_(0.5).mul_(2**-24).clamp_(max=1 - 2**-24)
        return u.reshape(*bits.shape[:2], *shape)

    def normal(self, *shape: int) -> Float[Tensor, "batch members *shape"]:
        """Standard normal, by Box and Muller (1958): sqrt(-2 log u) times cos and sin of 2 pi v."""
        size = math.prod(shape)
        bits = self._words((2 * -(-size // 2),)).float()  # 32 bits of u: a tail to 6.7 standard deviations
        u, v = bits.add_(0.5).mul_(2**-32).clamp_(2**-33, 1 - 2**-24).chunk(2, dim=-1)
        radius, angle = u.log().mul_(-2).sqrt_(), v * (2 * math.pi)
        z = torch.cat([angle.cos().mul_(radius), angle.sin().mul_(radius)], dim=-1)
        return z[..., :size].reshape(*z.shape[:2], *shape)

    def integers(self, high: int, *shape: int) -> Int[Tensor, "batch members *shape"]:
        """Uniform on 0 .. high - 1; the bias, of at most high / 2^24, is far below any sampling error here."""
        return (self.uniform(*shape) * high).long().clamp_(max=high - 1)

    def again(self) -> RandomStreams:
        """Return the next draws for repeated use with identical values, as in a Runge-Kutta step's evaluations."""
        if self.cached is None:
            self.cached = {}
        return self._from(self.call, self.path)

    def _from(self, call: int, path: tuple[tuple[int, int, int], ...]) -> RandomStreams:
        """Draws for these data and members from another call and path, with a shared cache."""
        other = replace(self, call=call, path=path)
        other.cached = self.cached
        return other

    def per_row(self) -> RandomStreams:
        """Reshape the draws to (B * M, 1, *shape), for a context with a row for each member."""
        if self.number is not None and self.members == 1:
            return self
        datum, number = self.datum.repeat_interleave(self.members), self.numbers.flatten()[:, None]
        return replace(self, datum=datum, members=1, first=0, number=number)

    def of_data(self, index: Int[Tensor, " selected"] | slice) -> RandomStreams:
        """The draws of some of the data."""
        number = None if self.number is None else self.number[index]
        return replace(self, datum=self.datum[index], number=number)

    def of_members(self, index: Int[Tensor, " selected"] | slice) -> RandomStreams:
        """The draws of some of the members, counted from 0, whatever their numbers are."""
        number = self.numbers[:, index]
        return replace(self, members=number.shape[1], number=number)

    def divided(self, parts: int) -> RandomStreams:
        """Draws for `parts` rows in place of each row, as if each member had that many parts; rows have one member."""
        if parts == 1:
            return self
        rows = self.per_row()
        assert rows.number is not None  # `per_row` sets it
        part = torch.arange(parts, device=rows.datum.device).repeat(len(rows.datum))
        number = rows.number[:, 0].repeat_interleave(parts) * parts + part
        return replace(rows, datum=rows.datum.repeat_interleave(parts), number=number[:, None])

    def fork(self, stream: int) -> RandomStreams:
        """An independent stream: drawing from it does not shift the numbers of these draws.

        Nested forks are distinct, and so are forks before and after a call; stream numbers need to be distinct only
        within the function that forks.
        """
        return self._from(0, (*self.path, (FORK, stream, self.call)))

    def at_lead(self, lead: int) -> RandomStreams:
        """The draws of one lead of a rollout, which differ between leads except for `persistent` streams."""
        return replace(self, lead=lead)

    def persistent(self, stream: int = 0) -> RandomStreams:
        """A stream that persists over a rollout: it does not depend on the lead, nor on previous calls and forks."""
        return replace(self, lead=0, call=0, path=((PERSISTENT, stream, 0),))

    def alone(self) -> RandomStreams:
        """A single member for each datum: for draws that all members share, such as the mask."""
        return replace(self, members=1, first=0, number=None)


# Numbers of random streams that are reserved for one purpose each, where others with the same seed count from 0.
#
# A draw is a function of seed, step, forks and datum (`random_streams`). Most purposes have a seed of their own
# (`seed_for`), and the forks of a function are numbered in its module. The purposes below share a seed and a key with
# draws that they do not see, so their numbers must be out of reach of these. Changing one changes stored results.


# datum of the cells of fixed stations, which depend on the seed alone; fields are numbered from 0
STATION_DATUM = -1
# step of the errors of readings at held-out stations; the folds of stations are the steps 0 to 9
HELD_OUT_ERRORS_STEP = 10
# fork of a calibrated forecast beside the forks of the forecaster, which count from 0: the year of the paper of EMOS;
# `emos` repeats it, because its checkpoints are of the code of that module alone (`source_code`)
CALIBRATION_STREAM = 2005
# forks of a Gaussian model of training days: observation errors and added variance of its update, and draws of the
# variance of rare events
UPDATE_STREAM, RARE_EVENTS_STREAM = range(2)


# Indices of the data in a training batch.


def batch_index(
    step: int, seed: int, groups: Int[Tensor, " training"] | None, length: int, size: int
) -> Tensor:
    """Indices of the data in the batch of a step, drawn without replacement; from one group if there are groups."""
    generator = generator_for("batch", seed, step)
    if groups is None:
        return torch.randperm(length, generator=generator)[:size]
    first = torch.randint(length, (), generator=generator)
    group = torch.nonzero(groups == groups[first])[:, 0]
    return group[torch.randperm(len(group), generator=generator)[:size]]
