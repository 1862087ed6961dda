"""Fieldcast without Kedro.

fitting   `fieldcast.fit`: a model fitted to a data set
scoring   `fieldcast.score`: scores of ensembles of any origin; user_draws: these ensembles on the grid of the truth
"""
