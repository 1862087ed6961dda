"""The pipeline `gap_filling`: a record filled from its own observed values."""
