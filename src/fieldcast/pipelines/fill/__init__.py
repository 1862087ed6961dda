"""The pipeline `fill`: a user's file with gaps, or stations, filled."""
