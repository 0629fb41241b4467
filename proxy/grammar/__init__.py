"""Text into values, and safely back."""
