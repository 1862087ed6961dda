"""The sections of the task `sample`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fieldcast.figures.png import Picture
from fieldcast.report import training
from fieldcast.report.html import (
    Markup,
    Section,
    anchor,
    folded,
    join,
    missing,
    paragraph,
    picture,
    shown,
    tag,
)
from fieldcast.report.sample_answer import sample_sizes, sentences, spread
from fieldcast.report.sample_figures import KL_WEIGHTS, decoded_parts, file_name, kl_weights, nearest_parts
from fieldcast.report.sample_results import Results, SampleBoard
from fieldcast.report.sample_tables import (
    DISTANCES,
    LIKELIHOODS,
    LOSSES,
    cells_table,
    near_table,
    score_table,
    wide_table,
)

OWN = (
    "FID and KID by features of this project: never comparable with values by Inception features. FID is biased "
    "upwards, the more the fewer samples, so that only values of equally many are comparable; “real data” is what "
    "as many training data have in the samples’ place. All are set against test data as the experiment sees them, and "
    "the best of those that see them alike is bold."
)
NATS = (
    "Mean over test data, with 95 % intervals; nats a datum. ELBO = reconstruction − KL; of a flow and of "
    "probabilistic PCA it is log p itself, of a diffusion its bound. Only experiments that see the data alike are "
    "comparable."
)
LOSS = (
    "Mean squared error a cell of what comes back from a code, on x as the model sees it. Latents of test data and of "
    "training data are inferred alike, from scratch, where there is no encoder."
)
DOTS = (
    "Dots with 95 % intervals, farther left is better. Solid: what as many training data have in the samples’ place, "
    "shaded where 95 % of such sets lie (for the classifier: guessing); dashed: noise, each cell on its own. An arrow: "
    "farther than ten times noise."
)
PRIORS = (
    "Blue: the prior. Dots: a draw from the posterior of each test datum. Dots where there is no blue are data that "
    "no sample resembles; blue without dots gives samples that no datum resembles. Of two components the density is "
    "exact; of more, a histogram of draws in the two components that vary most over test data."
)
EMBEDDINGS = (
    "Posterior means of test data, by label where they have any. Two components as they are; more by t-SNE, where "
    "neighbours stay neighbours, while distances between clusters, and axes, mean nothing."
)
SPECTRA = (
    "1 is the right amount of structure of that size; falling to the right: too smooth, rising: too rough."
)
CELLS = (
    "How far the values of a cell must be moved, on average, to be distributed as real ones, in standard deviations of "
    "the cell; the number is the area mean. It is above 0 for samples of the very law of the data too."
)


def write(results: Results, figures: Mapping[str, Picture]) -> list[Section]:
    """All sections; each says what is missing where a run did not make it."""
    board = results.board
    parts = (
        ("The short answer", answer(results, board)),
        ("Samples", samples(figures)),
        ("Distances to real data", distances(figures)),
        ("Likelihood", likelihood(results, board)),
        ("Are they copies?", copies(results, figures)),
        ("Reconstructions and samples", restored(results, board, figures)),
        ("The weight of the KL", weights(results, figures)),
        ("The latent space", latent_space(results, figures)),
        ("Diffusion, step by step", diffusion(results, figures)),
        *(() if results.images else (("Spectra, and cell by cell", structure(results, figures)),)),
        ("Training", training.losses_shown(figures)),
        ("Costs", training.costs_table(results.costs, results.order)),
        ("All scores", all_scores(board)),
    )
    return [Section(anchor("sample", title), title, body) for title, body in parts]


def answer(results: Results, board: SampleBoard | None) -> Markup:
    """Who is best in a few sentences, then the table of distances."""
    notes = [missing(f"Not run: {', '.join(results.not_run)}.")] if results.not_run else []
    notes += [missing(sentence) for sentence in results.leaderboard.attrs.get("dropped", [])]
    if board is None:
        return join([missing("No experiment has been scored yet."), *notes])
    said = tag("ul", *(tag("li", sentence) for sentence in sentences(results, board)))
    caption = f"With 95 % intervals. {OWN}"
    return join(
        [
            paragraph(sample_sizes(results), kind="note"),
            said,
            score_table(results, board, DISTANCES, caption),
            *notes,
        ]
    )


def samples(figures: Mapping[str, Picture]) -> Markup:
    """The sheet."""
    caption = "The first samples of each experiment, below real test data as the experiment sees them."
    return shown(figures, "samples", "Samples of each experiment and real data", caption, "No samples")


def distances(figures: Mapping[str, Picture]) -> Markup:
    """Dots of FID, KID and the classifier."""
    return shown(figures, "distances", "FID, KID and accuracy of a classifier", DOTS, "No distances")


def likelihood(results: Results, board: SampleBoard | None) -> Markup:
    """ELBO and its parts, IWAE, bits, active units."""
    if board is None or not board.having(*LIKELIHOODS):
        return missing("No likelihoods: no experiment that has one has been scored.")
    known = (
        results.diagnostics[name].attrs.get("K")
        for name in board.having("iwae")
        if name in results.diagnostics
    )
    draws = spread([value for value in dict.fromkeys(known) if value])
    of_iwae = f" IWAE with K = {draws} draws from the posterior, a bound that rises with K." if draws else ""
    return score_table(results, board, LIKELIHOODS, NATS + of_iwae)


def copies(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Distances to the nearest training state, and those states beside the samples."""
    caption = "Filled: samples; line: test data. Samples that lie left of nearly all test data may be copies."
    body = shown(
        figures, "nearest_distances", "Distances to the nearest training state", caption, "No distances"
    )
    parts = {name: list(part) for name, part in nearest_parts(results).items() if name in figures}
    return join(
        [body, near_table(results), *several(figures, parts, "Samples and their nearest training states")]
    )


def restored(results: Results, board: SampleBoard | None, figures: Mapping[str, Picture]) -> Markup:
    """Decoded test data against decoded random draws, and the error of the former."""
    parts = {name: list(part) for name, part in decoded_parts(results).items() if name in figures}
    body = list(several(figures, parts, "Test data, reconstructions and samples"))
    if not body:
        body = [missing("No reconstructions: no model with codes left any.")]
    if board and board.having(*LOSSES):
        body.append(score_table(results, board, LOSSES, LOSS))
    return join(body)


def weights(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Without the KL sharp reconstructions and no sampling; with much of it blur."""
    if "kl_weights" not in figures:
        return missing(f"No comparison of weights of the KL: it needs two of {', '.join(KL_WEIGHTS)}.")
    caption = (
        "Without the KL, codes need not lie where the prior is: data come back sharp, and samples are of codes that no "
        "datum has. With too much of it codes say little, and everything is blurred."
    )
    names = list(kl_weights(results))
    body = [picture(figures["kl_weights"], "Weights of the KL", caption)]
    if results.board and results.board.having("fid", "kl"):
        body.append(weights_table(results, results.board, names))
    return join(body)


def weights_table(results: Results, board: SampleBoard, names: Iterable[str]) -> Markup:
    """What the weight does to distances and to the parts of the ELBO."""
    rows = board.leaderboard[board.leaderboard["experiment"].isin(list(names))]
    chosen = SampleBoard(rows)
    return score_table(
        results, chosen, ("fid", "c2st", "test_loss", "reconstruction", "kl"), "By weight of the KL."
    )


def latent_space(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Prior and aggregate posterior, labels among the codes, decoded grids."""
    if not results.latents and not results.pictured("grid"):
        return missing("No latent space: no model with codes has been run.")
    body = [
        tag("h4", "Prior and data"),
        shown(figures, "priors", "Prior and aggregate posterior", PRIORS, "No priors"),
    ]
    body.append(tag("h4", "Labels among the codes"))
    if "embeddings" in figures:
        body.append(picture(figures["embeddings"], "Posterior means of test data", EMBEDDINGS))
    codes = results.ordered("latents").items()
    bare = [name for name, found in codes if found.sizes.get("latent", 0) > 2 and "label" not in found.coords]
    if bare:
        reason = "these data have no labels that clusters of codes could be compared with"
        body.append(missing(f"No t-SNE of {', '.join(bare)}: {reason}."))
    body.append(tag("h4", "Decoded grids"))
    return join([*body, *grids(results, figures)])


def grids(results: Results, figures: Mapping[str, Picture]) -> Iterable[Markup]:
    """The first open, the others folded."""
    found = [name for name in results.pictured("grid") if file_name("latent_grid", name) in figures]
    if not found:
        yield missing("No grids were stored.")
        return
    yield paragraph("Each picture decodes one code; components that are not named are 0.", kind="note")
    yield from several(
        figures, {file_name("latent_grid", name): [name] for name in found}, "Decoded grid of codes"
    )


def diffusion(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Snapshots from noise to sample."""
    names = {file_name("denoising", name): [name] for name in results.pictured("snapshot")}
    found = {name: own for name, own in names.items() if name in figures}
    if not found:
        return missing("No snapshots: no diffusion model has been run.")
    note = paragraph("t steps before the end of the chain: most of the form appears late.", kind="note")
    return join([note, *several(figures, found, "Diffusion step by step")])


def structure(results: Results, figures: Mapping[str, Picture]) -> Markup:
    """Spectra and Wasserstein distances of fields."""
    if not {"spectra", "wasserstein"} & set(figures):
        return missing("No spectra and no distances of cells: no diagnostics of fields were stored.")
    where = "; ".join(str(value) for name in ("spectrum", "latitudes") for value in results.told(name)[:1])
    words = (
        f"Zonal power of samples relative to that of real states{f' ({where})' if where else ''}. {SPECTRA}"
    )
    parts = [shown(figures, "spectra", "Power of samples relative to real states", words, "No spectra")]
    parts.append(
        shown(figures, "wasserstein", "Wasserstein distance of each cell", CELLS, "No maps of distances")
    )
    return join([*parts, cells_table(results)])


def several(figures: Mapping[str, Picture], parts: Mapping[str, list[str]], title: str) -> Iterable[Markup]:
    """Figures of one kind, the first open, the others folded behind the names of their experiments."""
    for place, (name, experiments) in enumerate(parts.items()):
        named = ", ".join(experiments)
        whole = picture(figures[name], f"{title}: {named}")
        yield whole if place == 0 else folded(named, whole)


def all_scores(board: SampleBoard | None) -> Markup:
    """Every score, folded."""
    if board is None:
        return missing("No scores.")
    note = paragraph("Intervals of all of these stand in leaderboard_sample.csv.", kind="note")
    return join([note, folded("Every score of every experiment", wide_table(board))])
