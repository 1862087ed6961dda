"""The stage `training`: one model, fitted to the training split of its task."""
