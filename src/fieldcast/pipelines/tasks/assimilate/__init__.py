"""The task `assimilate` in the stages that all tasks have."""
