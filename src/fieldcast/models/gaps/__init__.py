"""Linear models of records with missing values: low-rank EM, DINEOF, a Kalman smoother of modes; and filling a record."""
