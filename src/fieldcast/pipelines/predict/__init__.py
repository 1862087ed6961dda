"""The pipeline `predict`: a forecast from the last states of a user's file."""
