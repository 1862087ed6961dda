"""The pipeline `gaps`: a record filled from its own observed values."""
