"""Tracking in MLflow: `hook` listens to Kedro, `tracked_run` follows one run, `metadata` names what is recorded,
`writer` is the thread that writes it."""
