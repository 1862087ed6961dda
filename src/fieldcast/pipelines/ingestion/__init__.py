"""The stage `ingestion`: fields from any source, and the statistics of their training split."""
