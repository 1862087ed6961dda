"""DINEOF: missing values from the leading modes of the record itself.

(Beckers and Rixen 2003; Alvera-Azcarate et al. 2005.) The mean of the observed values is removed and missing values
begin at 0. Then, for n = 1, 2, ... modes,

    X = U S V^T,    x_tc <- x_tc + a ((U_n S_n V_n^T)_tc - x_tc) where missing,

is repeated until the difference is less than `TOLERANCE` of the deviation of the observed values; each number of modes
begins with the values of the one before. The number of modes is the one with the least error at observed values that
were held out at random; then the record is filled once more with these, from the values that had the least error, as
in DINEOF's own program. From 0, many modes would describe clouds of zeros, and leave them nearly as they are.

The published method has a = 1. The quick one has a = 1.5, which takes two thirds of the iterations to the same values
(any a < 2 lowers the misfit), and a larger tolerance in the search for the number of modes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.runtime import Progress

TOLERANCE = 1e-3  # root mean square difference, in standard deviations of the observed values
QUICK_TOLERANCE = 2e-3  # that of a quick search for the number of modes
RELAXATION = 1.5  # a of the quick method
MAX_ITERATIONS = 300  # decompositions for each number of modes
# largest number of times or cells for an exact decomposition; above it, subspace iteration
MAX_EXACT_SIZE = 60
OVERSAMPLING = 5  # extra axes in the subspace iteration, so that the requested ones converge
MAX_MODES = 40  # largest number of modes that is tried
TIMES_AT_ONCE = 64  # times of which a mask is converted to numbers at once
PATIENCE = 3  # the search stops after this many successive numbers of modes without a smaller error


@dataclass(frozen=True, eq=False)
class DineofResult:
    """A record filled by DINEOF.

    Parameters
    ----------
    values
        The record without gaps.
    modes
        Number of modes n.
    errors
        Root mean square error at the held-out values with 1, 2, ... modes.
    error
        That of the number of modes.
    axes
        The modes V_n^T.
    mean
        Mean of the observed values, which was removed before the decomposition.
    iterations
        Number of decompositions.
    difference
        Root mean square difference at which the iterations ended.
    """

    values: Float[Tensor, "time cell"]
    modes: int
    errors: Float[Tensor, " tried"]
    error: float
    axes: Float[Tensor, "mode cell"]
    mean: Float[Tensor, ""]
    iterations: int
    difference: float


def truncate(
    x: Float[Tensor, "time cell"], modes: int, basis: Float[Tensor, "cell more"]
) -> tuple[Float[Tensor, "time cell"], Float[Tensor, "mode cell"], Float[Tensor, "cell more"]]:
    """Return U_n S_n V_n^T, V_n^T and an improved basis of the leading axes.

    Small records are decomposed by the eigenvectors of the smaller Gram matrix, which leaves `basis` unchanged. Large
    records take a step of subspace iteration from `basis`: as the record changes little between successive calls, the
    basis converges together with it.
    """
    if min(x.shape) > MAX_EXACT_SIZE:
        basis = torch.linalg.qr(x.T @ (x @ basis))[0]
        scores = x @ basis
        turn = torch.linalg.eigh((scores.T @ scores).double())[1].to(x)
        basis = basis @ turn
        axes = basis[:, -modes:]
        return (scores @ turn[:, -modes:]) @ axes.T, axes.T, basis
    if x.shape[0] <= x.shape[1]:
        left = torch.linalg.eigh((x @ x.T).double())[1][:, -modes:].to(x)
        part = left.T @ x
        return left @ part, torch.nn.functional.normalize(part, dim=1), basis
    axes = torch.linalg.eigh((x.T @ x).double())[1][:, -modes:].to(x)
    return (x @ axes) @ axes.T, axes.T, basis


def iterate_to_convergence(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], modes: int, difference: float,
    basis: Float[Tensor, "cell before"] | None = None, relaxation: float = 1.0,
) -> tuple[Float[Tensor, "mode cell"], Float[Tensor, "cell more"], int]:  # fmt: skip
    """Replace missing values of x, in place, until their root mean square difference from the decomposition is less.

    Returns its axes, a basis from which more modes begin, and the number of decompositions.
    """
    missing, generator = ~observed, torch.Generator().manual_seed(modes)
    count = max(int(missing.count_nonzero()), 1)
    carried = x.new_empty(x.shape[1], 0) if basis is None else basis[:, -modes - OVERSAMPLING :]
    more = modes + OVERSAMPLING - carried.shape[1]
    drawn = torch.randn(x.shape[1], more, generator=generator, dtype=x.dtype).to(x.device)
    basis = torch.cat([carried, drawn], dim=1)
    iterations = 0
    while iterations < MAX_ITERATIONS:
        iterations += 1
        low_rank, axes, basis = truncate(x, modes, basis)
        change = low_rank.sub_(x)
        for rows, here in zip(change.split(TIMES_AT_ONCE), missing.split(TIMES_AT_ONCE), strict=True):
            rows.mul_(here)  # which converts the mask; a fill of the others takes ten times as long
        x.add_(change, alpha=relaxation)
        size = float(torch.linalg.vector_norm(change))
        del low_rank, change  # as large as the record, like the next
        if size / count**0.5 < difference:
            break
    return axes, basis, iterations


def numbers_of_modes(largest: int) -> list[int]:
    """Numbers of modes to try: 1, 2, ... 10, and then in steps of a fifth, as the error changes ever less."""
    numbers = [1]
    while (more := numbers[-1] + max(1, numbers[-1] // 5)) <= largest:
        numbers.append(more)
    return numbers


def fill_by_axes(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], axes: Float[Tensor, "mode cell"],
    mean: Float[Tensor, ""], difference: float,
) -> Float[Tensor, "time cell"]:  # fmt: skip
    """Fill times by the axes of another record, as the quick method fills those of that one.

    Each time is filled with the truncated decompositions X V_n V_n^T of 1, 2, ... leading axes, the last ones. Ended
    at a difference, over all times that are given, the iterations are a regularised least-squares fit of the observed
    values by the axes.
    """
    filled, missing = (x - mean).masked_fill_(~observed, 0.0), ~observed
    count = max(int(missing.count_nonzero()), 1)
    for modes in sorted({*numbers_of_modes(len(axes)), len(axes)}):
        leading = axes[-modes:]
        for _ in range(MAX_ITERATIONS):
            change = ((filled @ leading.T) @ leading).sub_(filled).mul_(missing)
            filled.add_(change, alpha=RELAXATION)
            if float(torch.linalg.vector_norm(change)) / count**0.5 < difference:
                break
    return torch.where(observed, x, filled + mean)


def held_out_number(observed: int) -> int:
    """Number of values held out for cross-validation: min(0.01 N + 40, 0.03 N), as in DINEOF's own program."""
    return int(min(0.01 * observed + 40, 0.03 * observed))


def choose_held_out(
    observed: Bool[Tensor, "time cell"], generator: torch.Generator
) -> Bool[Tensor, "time cell"]:
    """Mask of observed values to hold out, drawn at random."""
    index = observed.flatten().nonzero()[:, 0]
    count = held_out_number(len(index))
    held_out = torch.zeros_like(observed).flatten()
    held_out[index[torch.randperm(len(index), generator=generator)[:count].to(index.device)]] = True
    return held_out.unflatten(0, observed.shape)


def fill_by_dineof(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], modes: int | None = None,
    quick: bool = False,
) -> DineofResult:  # fmt: skip
    """Fill a record with the given number of modes, by default the best one up to `MAX_MODES`.

    The values held out for cross-validation are drawn with seed 0.
    """
    held_out = choose_held_out(observed, torch.Generator().manual_seed(0))
    return dineof(x, observed, held_out, MAX_MODES if modes is None else modes, modes is None, quick)


def dineof(
    x: Float[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], held_out: Bool[Tensor, "time cell"],
    largest: int, search: bool = True, quick: bool = False,
) -> DineofResult:  # fmt: skip
    """Fill a record, with the number of modes that has the least error at held-out values.

    Parameters
    ----------
    x, observed
        Values (anything where missing), and which are observed.
    held_out
        Observed values that cross-validation holds out.
    largest
        Largest number of modes.
    search
        Whether to take the best number up to it; otherwise it is taken, by way of smaller ones.
    quick
        Whether to take fewer iterations than the published method, see the module.
    """
    largest = min(largest, *(size - 1 for size in x.shape))
    if largest < 1 or not held_out.any():
        raise InputError(
            "DINEOF needs at least two times, two cells and some observed values to hold out, not "
            f"{len(x)} times, {x.shape[1]} cells and {int(observed.count_nonzero())} observed values: give a longer "
            "record."
        )
    mean = x[observed].mean()
    deviation = float((x[observed] - mean).std())
    visible, truth = observed & ~held_out, x[held_out] - mean
    field = (x - mean).masked_fill_(~visible, 0.0)
    tolerance, relaxation = (QUICK_TOLERANCE, RELAXATION) if quick else (TOLERANCE, 1.0)
    errors: list[float] = []
    tried, basis, total = numbers_of_modes(largest), None, 0
    if not search and tried[-1] < largest:
        tried.append(largest)
    best, kept = len(tried) - 1, torch.empty_like(field) if search else field
    for modes in Progress(tried, unit="number of modes"):
        _, basis, number = iterate_to_convergence(
            field, visible, modes, tolerance * deviation, basis, relaxation
        )
        errors.append(float((field[held_out] - truth).square().mean().sqrt()))
        total += number
        if not search:
            continue
        best = min(range(len(errors)), key=errors.__getitem__)
        if best == len(errors) - 1:
            kept.copy_(field)
        if len(errors) - 1 - best >= PATIENCE:
            break
    del field, visible
    kept[held_out] = truth
    difference = TOLERANCE * deviation
    axes, _, number = iterate_to_convergence(kept, observed, tried[best], difference, basis, relaxation)
    kept += mean
    return DineofResult(
        torch.where(observed, x, kept, out=kept),
        tried[best],
        torch.tensor(errors, dtype=torch.float64),
        errors[best],
        axes,
        mean,
        total + number,
        difference,
    )
