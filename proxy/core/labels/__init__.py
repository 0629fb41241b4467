"""What a container asks for."""
