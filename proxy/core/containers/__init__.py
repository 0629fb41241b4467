"""What a source says of containers, as values."""
