"""Scripts that make the documents' tables and pictures, or answer one question each: `python -m studies.<name>`."""
