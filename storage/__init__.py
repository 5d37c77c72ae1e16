"""From clean tables to disk, and back."""
