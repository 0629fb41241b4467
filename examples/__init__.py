"""Examples that run as they are; each Compose file says what to try."""
