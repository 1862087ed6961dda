"""The nodes of each task in the stages that all tasks have: `training`, `evaluation` and `reporting` take them here."""
