"""The task `reconstruct` in the stages that all tasks have."""
