"""Forecast scores: a user's gridded forecasts beside the readings of stations."""

from pathlib import Path

import pandas as pd

from fieldcast.inference.file_options import ForecastScores


def score(forecast_scores: ForecastScores, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Scores in the columns of the leaderboard; by lead, variable and station; and as text."""
    from fieldcast.fields.opening import check_chunks, open_file, read_file
    from fieldcast.inference.stations.verification import score_at_stations, summary

    options = forecast_scores
    path, stations = options.file(), options.table()
    dem = None if options.dem is None else read_file(options.dem, "forecast_scores.dem")
    with open_file(path, "forecast_scores.forecasts") as opened:
        check_chunks(opened, [str(name) for name in opened.variables], path)
        verified = score_at_stations(
            stations, opened, name=Path(path).stem, representativeness=options.representativeness, dem=dem,
            columns=options.columns, crs=options.crs, nan_policy=options.nan_policy, seed=seed,
            where=f"forecast_scores.stations '{stations}'",
        )  # fmt: skip
    return verified.board, verified.by_station, summary(verified)
