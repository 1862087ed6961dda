"""A simulated planet: quasi-geostrophic weather with seasons, the data that come with the package.

`sphere`     spherical harmonics,
`geography`  mountains and heat sources,
`dynamics`   the model: `Parameters`, `Planet` (its state q, tendency, steps, `run`),
`weather`    what is seen of it: `PlanetOptions`, `simulate` (a dataset, with its states q),
             `simulation` (the same day by day),
`reference`  the digests of the planet of the documented tables,
`perfect`    the ensemble of the perfect model, started again from stored states.

Any state starts it again:

    planet = Planet(options)
    for day, q in planet.run(q + perturbations, day):  # any leading axes of q are a batch
        fields = weather(planet, grid, q)
"""
