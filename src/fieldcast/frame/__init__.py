"""What holds a run together: checks before it, errors in one sentence, the lock on its data, tracking."""
