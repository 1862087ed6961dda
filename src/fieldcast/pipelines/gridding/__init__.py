"""The pipeline `gridding`: fields from a user's stations alone."""
