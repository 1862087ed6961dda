from __future__ import annotations

import pandas as pd
import xarray as xr

from fieldcast.scores.summary import sample_summary


def test_samples_have_a_line_each() -> None:
    nan = float("nan")
    values = {
        "vae": {
            "fid": 4.168,
            "kid": -0.0005,
            "c2st": 0.98,
            "elbo": -134.93,
            "iwae": -131.2,
            "test_loss": 0.0254,
        },
        "ddpm": {"fid": 0.018, "kid": 0.189, "c2st": 0.513, "bits_per_dim": 3.031, "elbo": nan},
        "broken": {"fid": float("inf"), "kid": float("inf"), "c2st": 1.0},
        "autodecoder": {"fid": nan, "test_loss": 0.1186},
    }
    floors = {"fid_floor": 0.0123, "kid_floor": 0.0}
    board = pd.DataFrame(
        [
            {"experiment": name, "seed": seed, "score": score, "value": value * (1 + sign * 0.01)}
            for name, scores in values.items()
            for score, value in (scores | floors).items()
            for seed, sign in ((0, 1), (1, -1))  # the mean of seeds is shown
        ]
    )
    assert sample_summary(board, {}).splitlines() == [
        "Samples beside test states",
        "lower is better: FID, KID, bits/dim, test MSE; 0.5 is best: C2ST; higher is better: ELBO [nats], IWAE [nats]",
        "",
        "                      FID       KID      C2ST      ELBO      IWAE  bits/dim  test MSE",
        "(real states)      0.0123         0",
        "ddpm                0.018     0.189     0.513                         3.031",
        "vae                 4.168   -0.0005     0.980   -134.93    -131.2              0.0254",
        "broken                inf       inf     1.000",
        "autodecoder                                                                     0.119",
    ]
    assert "(real states)" not in sample_summary(board[~board["score"].str.endswith("_floor")])
    assert sample_summary(board[board["score"] == "test_loss"]).splitlines()[-1].startswith("vae")
    assert sample_summary(board.iloc[:0]) == "No experiment has been scored yet."


def over(seeds: int, value: float, sd: float, **of: object) -> dict:
    return of | {"seeds": seeds, "value": value, "sd": sd}


def test_columns_that_do_not_fit_stand_below() -> None:
    values = {"fid": 4.168, "kid": -0.0005, "c2st": 0.98, "elbo": -134.93, "iwae": -1312.2, "fid_floor": 0.1}
    deviations = {"fid": 0.0123, "kid": 0.2, "c2st": 0.0, "elbo": 1.234, "iwae": 120.4, "fid_floor": 0.1}
    board = pd.DataFrame(
        [
            over(2, value, deviations[score], experiment="a_model_with_a_name_of_some_length", score=score)
            for score, value in values.items()
        ]
    )
    assert sample_summary(board).splitlines()[2:] == [
        "mean ± standard deviation; seeds: 2",
        "",
        "                                                 FID             KID            C2ST",
        "(real states)                                    0.1",
        "a_model_with_a_name_of_some_length    4.168 ± 0.0123   -0.0005 ± 0.2       0.980 ± 0",
        "                                                ELBO            IWAE",
        "a_model_with_a_name_of_some_length    -134.93 ± 1.23   -1312.2 ± 120",
    ]


def test_the_table_of_samples_says_what_its_scores_are_of() -> None:
    values = {
        "flow": {"fid": 2.0, "fid_floor": 0.5, "elbo": 3.0},
        "vae": {"fid": 4.0, "fid_floor": 0.5, "elbo": -2.0, "iwae": -1.0},
        "ddpm": {"fid": 5.0, "fid_floor": 0.5},
    }
    board = pd.DataFrame(
        [
            {"experiment": name, "seed": 0, "score": score, "value": value}
            for name, scores in values.items()
            for score, value in scores.items()
        ]
    )
    sizes = {"samples": 1000, "real": 10_000}
    attributes = {
        "flow": {"treatment": "dequantised", "K": 1, "fid_ceiling": 80.0, **sizes},
        "vae": {"treatment": "threshold", "K": 500, "fid_ceiling": 90.0, "kid_ceiling": 7.0, **sizes},
        "ddpm": {"treatment": "symmetric", "K": 300, **sizes},  # the times of a bound that is no IWAE
        "elsewhere": {"treatment": "threshold", "K": 9, "fid_ceiling": 1e9, "samples": 8, "real": 8},
    }
    diagnostics = {name: xr.Dataset(attrs=attrs) for name, attrs in attributes.items()}
    assert sample_summary(board, diagnostics).splitlines()[2:] == [
        "1000 samples against 10000 test states; IWAE with K = 500",
        "",
        "                   treatment          FID         ELBO         IWAE",
        "(real states)                         0.5",
        "(noise)                                85",
        "flow             dequantised            2            3",
        "vae                threshold            4           -2           -1",
        "ddpm               symmetric            5",
    ]
    fields = {"ddpm": xr.Dataset(attrs={"treatment": "standardised", **sizes, "real": 300})}
    assert sample_summary(board, fields).splitlines()[2:5] == [
        "1000 samples against 300 test states",
        "",
        "                      FID      ELBO      IWAE",
    ]
