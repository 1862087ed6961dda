"""The pipeline `cycle`: analyses of a user's record of successive times."""
