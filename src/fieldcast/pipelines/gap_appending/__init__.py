"""The pipeline `gap_appending`: later times appended to a filled record by its stored fit."""
