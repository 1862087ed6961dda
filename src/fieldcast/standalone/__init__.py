"""Functions of the Python API that need no Kedro project; further ones are in `inference` and `training`.

exploring `fieldcast.explore`: what is in data of any kind, and a quick result
fitting   `fieldcast.fit`: a model fitted to a data set
scoring   `fieldcast.score`: scores of any ensembles; user_draws: these ensembles on the grid of the truth
"""
