"""The price of gaps in training: `python -m studies.price_of_gaps FIELDS [--patterns ...] [--percent ...]`.

FIELDS is the Zarr store of complete fields of a finished ingestion, such as data/03_primary/fields.zarr of the
simulated planet, of which the first variable and the first 730 times count. A share of the values of every training
and validation time is removed, in one of these shapes:

    random, blocks, swaths  those of the masks
    cold                    the coldest values: what is missing depends on the value, as cloud over cold ground

The experiment is fitted to the rest, and reconstructs complete test times from 10 % random observations with noise 0.1.
Prints fair CRPS, its ratio to that of complete training, spread-skill ratio and bias (mean minus truth), CRPS and bias
in anomaly standard deviations of the complete training data. Rows are appended to --output, and those there are kept:
the same command resumes. `--experiment reconstruct.corrected_interpolation` takes five to eight minutes a row.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

import fieldcast
from fieldcast.encoding.anomalies import space_of
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.splits import make, select
from fieldcast.models.masks import PATTERN_FUNCTIONS
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

TIMES, SCORED, MEMBERS, OBSERVED, NOISE, SEED = 730, 32, 19, 0.1, 0.1, 0
COLD = "cold"
KEYS = ["experiment", "pattern", "percent"]


def removed(anomaly: xr.DataArray, space: Space, pattern: str, share: float) -> xr.DataArray:
    """Values to remove: `share` of each time."""
    left = torch.full((len(anomaly),), round((1 - share) * anomaly[0].size))
    if pattern == COLD:
        priority = -torch.from_numpy(anomaly.values)
    else:
        streams = RandomStreams(SEED, torch.arange(len(anomaly)))
        priority = PATTERN_FUNCTIONS[pattern](streams, space, left, 1)[:, 0].expand(
            len(anomaly), *space.shape
        )
    rank = priority.flatten(1).argsort(1).argsort(1).unflatten(1, space.shape)
    return anomaly.copy(data=(rank >= left[:, None, None]).numpy())


def price(fields: xr.Dataset, experiment: str, pattern: str, percent: int) -> dict[str, float]:
    """Scores after training with a share of the values removed."""
    name = next(v for v in fields.data_vars if "time" in fields[v].dims)
    complete = fields[[v for v in fields.data_vars if v == name or "time" not in fields[v].dims]].load()
    splits = make(complete["time"])
    training, test = (select(complete, splits, part) for part in ("train", "test"))
    climatology = climatologies.fit(training)
    normalisation = normalisations.fit(training, climatology)
    scale = float(normalisation["anomaly_std"].sel(variable=name))
    space = space_of(complete, climatology, normalisation)
    anomaly = climatologies.anomaly(complete, climatology)[name]
    learned = complete["time"] < test["time"][0]
    masked = removed(anomaly, space, pattern, percent / 100) & learned
    begun = time.perf_counter()
    model = fieldcast.fit(
        complete.assign({name: complete[name].where(~masked)}),
        experiment,
        missing="train",
        seed=SEED,
        device="cpu",
    )
    seconds = time.perf_counter() - begun
    truth = test[[name]].isel(time=slice(None, None, test.sizes["time"] // SCORED))
    rng = np.random.default_rng(SEED)
    noisy = truth[name] + NOISE * scale * rng.standard_normal(truth[name].shape).astype(np.float32)
    observed = truth.assign(
        {name: noisy.where(rng.random(noisy.shape) < OBSERVED).assign_attrs(truth[name].attrs)}
    )
    draws = model.fill(observed, MEMBERS, NOISE, SEED)[[name]]
    table = fieldcast.score(truth, draws, task="reconstruct", observed=observed, training=training[[name]])
    scores = table[(table["variable"] == name) & (table["cells"] == "unobserved")].set_index("score")["value"]
    return {
        "crps": scores["crps"] / scale, "spread_skill": scores["ssr"], "bias": scores["bias"] / scale,
        "seconds": seconds,
    }  # fmt: skip


def markdown(table: pd.DataFrame) -> str:
    """The table with the ratio to the CRPS of complete training."""
    lines = [
        "| experiment | shape of the gaps | missing in training | fair CRPS | / complete | spread-skill | bias | s |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in table.sort_values(KEYS, kind="stable").to_dict("records"):
        complete = table[(table["experiment"] == row["experiment"]) & (table["percent"] == 0)]["crps"]
        ratio = f"{row['crps'] / complete.iloc[0]:.2f}" if len(complete) else ""
        lines.append(
            f"| {row['experiment']} | {row['pattern'] if row['percent'] else 'none'} | {row['percent']} % "
            f"| {row['crps']:.3f} | {ratio} | {row['spread_skill']:.2f} | {row['bias']:+.3f} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what the output lacks, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fields")
    parser.add_argument("--experiment", default="reconstruct.optimal_interpolation")
    parser.add_argument(
        "--patterns", nargs="+", default=["random", "blocks", "swaths"], choices=[*PATTERN_FUNCTIONS, COLD]
    )
    parser.add_argument("--percent", nargs="+", type=int, default=[0, 30, 50, 70, 90, 95])
    parser.add_argument("--output", type=Path, default=Path("price_of_gaps.csv"))
    options = parser.parse_args()
    table = pd.read_csv(options.output) if options.output.exists() else pd.DataFrame(columns=KEYS)
    fields = xr.open_zarr(options.fields).isel(time=slice(0, TIMES))
    for percent in options.percent:
        for pattern in options.patterns if percent else ["random"]:  # nothing is removed: one row
            key = dict(zip(KEYS, (options.experiment, pattern, percent), strict=True))
            if (table[KEYS] == pd.Series(key)).all(axis=1).any():
                continue
            row = key | price(fields, *key.values())
            table = pd.DataFrame([*table.to_dict("records"), row])
            table.to_csv(options.output, index=False)
            print(markdown(table.tail(1)), flush=True)
    print(markdown(table))


if __name__ == "__main__":
    main()
