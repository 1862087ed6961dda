"""Cycles of forecasts and updates.

assimilate    cycles of the task `assimilate`
record_cycle  `cycle`: a cycle over a user's record, with forecaster and filter from checkpoints
held_out      observations that are never used, and the quality of the analyses there, without any truth
"""
