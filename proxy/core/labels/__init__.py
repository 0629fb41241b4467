"""The labels of containers, parsed: what each container asks for."""
