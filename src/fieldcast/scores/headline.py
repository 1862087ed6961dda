"""The one score of an experiment by which a run, MLflow and the champion compare it."""

import pandas as pd

LEADS = (24, 120)  # hours, first and last: the medium range


def headline(table: pd.DataFrame) -> float | None:
    """The score by which experiments of a task are compared, lower is better; None where it was not computed.

    It is the fair CRPS [standard deviations], averaged over the fractions observed of a reconstruction or the leads
    of one to five days of a forecast, and the KID of samples.
    """
    table = over_all(table)
    if "lead_hours" in table:
        table = table[table["lead_hours"].between(*LEADS)]
    for score in ("crps", "kid"):
        values = table.loc[table["score"] == score, "value"].dropna()
        if len(values):
            return float(values.mean())
    return None


def over_all(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table over all variables and the unobserved cells."""
    for column, value in (("variable", "all"), ("cells", "unobserved")):
        if column in table:
            table = table[table[column] == value]
    return table
