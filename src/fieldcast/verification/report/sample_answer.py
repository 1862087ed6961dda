"""What the scores of samples say, in a few sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from .board import Score
from .html import Markup, join, numbers, significant, tag
from .sample_results import NEAR, Results, SampleBoard

EXACT = ("flow", "probabilistic_pca")  # whose log p is no bound
BINARY = ("threshold", "bernoulli")  # treatments of images that leave black and white
APART = 0.95  # a classifier's accuracy from which samples are told from real data nearly always
CROWDED = 2 * NEAR  # share of very near samples that is worth a word


def sentences(results: Results, board: SampleBoard) -> list[Markup]:
    """Who is nearest to the data; who can be told from them; what the likelihoods say; whether there are copies."""
    found = [*lowest(results, board, "fid", "FID"), *lowest(results, board, "kid", "KID"), told_apart(board)]
    found += [with_likelihood(board), *highest(results, board), fewest_bits(board)]
    found += [*restored(results, board), copies(results), not_finite(results)]
    return [sentence for sentence in found if sentence]


def lowest(results: Results, board: SampleBoard, score: str, name: str) -> list[Markup]:
    """The lowest FID or KID, against what real data have in the samples' place, and the next."""
    found = []
    for seen, own in results.alike(board.having(score), score).items():
        ranked = sorted(own, key=lambda one: board.value(one, score))
        best, floor = ranked[0], results.floor(ranked[0], score)
        where = (
            f", {seen},".replace("grey values", "of grey values") if seen in ("grey values", *BINARY) else ""
        )
        parts = [f"Lowest {name}{where}: ", code([best]), " ", in_words(board.scores[best, score])]
        if floor is not None:
            parts.append(
                f", where real data have {in_words(floor)}: {above(board.scores[best, score], floor)}"
            )
        if len(ranked) > 1:
            parts += ["; then ", code([ranked[1]]), f" {significant(board.value(ranked[1], score))}"]
        found.append(join([*parts, "."]))
    return found


def in_words(found: Score) -> str:
    """A value with its interval."""
    value, low, high = numbers(*found)
    return value if math.isnan(found.low) else f"{value} ({low} to {high})"


def above(found: Score, floor: Score) -> str:
    """Whether a distance is beyond what sets of real data have."""
    low = found.value if math.isnan(found.low) else found.low
    return (
        "not separated from it"
        if low <= (floor.value if math.isnan(floor.high) else floor.high)
        else "above it"
    )


def told_apart(board: SampleBoard) -> Markup:
    """How often a classifier tells samples from real data."""
    ranked = sorted(board.having("c2st"), key=lambda one: abs(board.value(one, "c2st") - 0.5))
    if not ranked:
        return Markup("")
    best = ranked[0]
    parts: list[object] = [
        "A classifier is right about ",
        code([best]),
        f" in {percents(board.scores[best, 'c2st'])}",
    ]
    parts.append(" of cases, the least of all; 50 % is guessing")
    always = [name for name in ranked[1:] if board.value(name, "c2st") >= APART]
    if always:
        parts += [f"; nearly always (from {100 * APART:.0f} %) about ", code(always)]
    return join([*parts, "."])


def percents(found: Score) -> str:
    """A share with its interval."""
    inside = "" if math.isnan(found.low) else f" ({100 * found.low:.0f} to {100 * found.high:.0f} %)"
    return f"{100 * found.value:.0f} %{inside}"


def with_likelihood(board: SampleBoard) -> Markup:
    """Which experiments have a likelihood, and of what kind."""
    known = board.having("elbo", "iwae", "bits_per_dim")
    if not known:
        return Markup("")
    exact = [name for name in known if name in EXACT]
    bound = [name for name in known if name not in EXACT]
    none = [name for name in board.order if name not in known]
    groups = (("exact of ", exact), ("a lower bound of ", bound), ("none of ", none))
    return join(
        ["Likelihood: ", join((join([words, code(names)]) for words, names in groups if names), "; "), "."]
    )


def highest(results: Results, board: SampleBoard) -> list[Markup]:
    """The highest log-likelihood of test data, among experiments that see them alike."""
    found = []
    for where, ranked in groups(
        results, board.having("elbo", "iwae"), "elbo", lambda name: -tightest(board, name)
    ):
        ends = [
            join([code([name]), f" {significant(tightest(board, name), 4)}"])
            for name in (ranked[0], ranked[-1])
        ]
        words = f"Highest log-likelihood of test data{where}, by the tightest bound known: "
        found.append(join([words, ends[0], " nats a datum; lowest ", ends[1], "."]))
    return found


def groups(
    results: Results, names: Sequence[str], score: str, worth: Callable[[str], float]
) -> Iterator[tuple[str, list[str]]]:
    """Experiments that see the data alike, the lowest `worth` first, with words for it; none that is alone."""
    found = results.alike(names, score)
    for seen, own in found.items():
        if len(own) > 1:
            yield (f" seen as {seen}" if seen and len(found) > 1 else ""), sorted(own, key=worth)


def tightest(board: SampleBoard, name: str) -> float:
    """log p, or the IWAE bound where there is one, else the ELBO [nats]."""
    return board.value(name, "iwae", board.value(name, "elbo"))


def fewest_bits(board: SampleBoard) -> Markup:
    """The densities in bits a cell, the best first."""
    ranked = sorted(board.having("bits_per_dim"), key=lambda one: board.value(one, "bits_per_dim"))
    if not ranked:
        return Markup("")
    each = [join([code([name]), f" {significant(board.value(name, 'bits_per_dim'))}"]) for name in ranked]
    return join(["Bits a cell, fewer are better: ", join(each, ", "), "."])


def restored(results: Results, board: SampleBoard) -> list[Markup]:
    """Who reconstructs test data best, and how much worse than training data, among experiments that see them alike."""
    found = []
    for where, ranked in groups(
        results, board.having("test_loss"), lambda name: board.value(name, "test_loss")
    ):
        best = ranked[0]
        errors = [significant(board.value(best, f"{part}_loss")) for part in ("test", "train")]
        words = f" ({errors[0]} a cell; of training data {errors[1]}): that says nothing of its samples."
        found.append(
            join(
                [
                    f"Test data{where} come back with the smallest mean squared error from ",
                    code([best]),
                    words,
                ]
            )
        )
    return found


def copies(results: Results) -> Markup:
    """Whose samples lie nearer to the training data than test data do."""
    if not results.near:
        return Markup("")
    near = {name: share for name, (_, _, share) in results.near.items() if share > CROWDED}
    if not near:
        return Markup("No sign of copies: no more samples than test data lie very near to a training state.")
    ranked = sorted(near, key=near.__getitem__, reverse=True)
    each = join((join([code([name]), f" {100 * near[name]:.0f} %"]) for name in ranked), ", ")
    words = " of samples, where 5 % are expected. Blurred samples are near to many training states and copies of none."
    return join(["Nearer to a training state than 95 % of test data are: ", each, words])


def not_finite(results: Results) -> Markup:
    """Whose samples have blown up."""
    found = []
    for name, one in results.ordered("diagnostics").items():
        drawn, finite = (one.attrs.get(key) for key in ("samples", "finite"))
        if drawn is not None and finite is not None and int(finite) < int(drawn):
            found.append(join([code([name]), f" {int(drawn) - int(finite)} of {int(drawn)}"]))
    return join(["Samples that are not finite: ", join(found, ", "), "."]) if found else Markup("")


def code(names: Sequence[str]) -> Markup:
    """Names of experiments."""
    return join((tag("code", name) for name in names), ", ")


def sample_sizes(results: Results) -> str:
    """How many samples were compared with how many real states, by which features."""
    drawn, real = (spread(results.told(name)) for name in ("samples", "real"))
    parts = [f"{drawn or 'Some'} samples of each experiment against {real or 'the'} test data."]
    features = results.told("extractor")
    if features:
        size, accuracy, weights = (results.told(name) for name in ("features", "accuracy", "weights"))
        known = [f"{spread(size)} features" if size else ""]
        known += [f"test accuracy {float(str(accuracy[0])):.3f}" if accuracy else ""]
        known += [f"weights {weights[0]}" if weights else ""]
        inside = ", ".join(filter(None, known))
        parts.append(f"Features: {features[0]}{f' ({inside})' if inside else ''}.")
    return " ".join(parts)


def spread(values: Sequence[object]) -> str:
    """One number, or the smallest to the largest."""
    found = sorted({int(float(str(value))) for value in values})
    return "" if not found else str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
