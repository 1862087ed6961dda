"""The task `sample` in the stages that all tasks have."""
