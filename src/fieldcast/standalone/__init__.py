"""Functions of the Python API that need no Kedro project; the others are in `inference` and `training`.

fitting   `fieldcast.fit`: a model fitted to a data set
scoring   `fieldcast.score`: scores of ensembles of any origin; user_draws: these ensembles on the grid of the truth
"""
