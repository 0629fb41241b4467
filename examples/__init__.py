"""Examples that run as they are. Each Compose file says what to try."""
