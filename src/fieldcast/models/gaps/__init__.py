"""Records with missing values: low-rank EM, DINEOF, a Kalman smoother of modes, augmentation, filling."""
