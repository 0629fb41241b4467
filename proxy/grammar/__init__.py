"""Turns text into values, and values back into safe text."""
