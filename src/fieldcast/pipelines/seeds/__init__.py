"""The pipeline `seeds`: mean and standard deviation of scores over runs that differ only in their seed."""
