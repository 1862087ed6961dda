"""Numbers of random streams that are reserved for one purpose each, where others with the same seed count from 0.

A draw is a function of seed, step, forks and datum (`random_streams`). Most purposes have a seed of their own
(`seed_for`), and the forks of a function are numbered in its module. The purposes below share a seed and a key with
draws that they do not see, so their numbers must be out of reach of these. Changing one changes stored results.
"""

from __future__ import annotations

# datum of the cells of fixed stations, which depend on the seed alone; fields are numbered from 0
STATION_DATUM = -1
# step of the errors of readings at left-out stations; the turns in which stations are left out are the steps 0 to 9
LEFT_OUT_ERRORS_STEP = 10
# fork of a calibrated forecast beside the forks of the forecaster, which count from 0: the year of the paper of EMOS;
# `emos` repeats it, because its checkpoints are of the code of that module alone (`source_code`)
CALIBRATION_STREAM = 2005
# forks of a Gaussian model of training days: observation errors and added variance of its update, and draws of the
# variance of rare events
UPDATE_STREAM, RARE_EVENTS_STREAM = range(2)
