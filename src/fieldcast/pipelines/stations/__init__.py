"""The pipeline `stations`: scores of trained experiments at a user's stations, each left out once."""
