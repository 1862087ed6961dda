"""Tracking in MLflow: the hook that listens to a run, what it reports, and the thread that writes it."""
