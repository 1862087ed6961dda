"""The task `forecast` in the stages that all tasks have."""
