"""The pipeline `station_scores`: scores of trained experiments at a user's stations, each held out once."""
