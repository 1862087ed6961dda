"""The frame of a run: checks before it, errors as sentences, the lock on its data, tracking in MLflow."""
