"""The pipeline `record_cycle`: analyses of a user's record of successive times."""
