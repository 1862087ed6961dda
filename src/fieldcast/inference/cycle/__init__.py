"""Cycles of forecasts and updates.

assimilate    cycles of the task `assimilate`
record_cycle  `cycle`: a cycle over a user's record
models        forecaster and filter from checkpoints
withheld      observations that are never used; quality: scores of the analyses at them, without any truth
"""
