"""The pipeline `station_fields`: fields from a user's stations alone."""
