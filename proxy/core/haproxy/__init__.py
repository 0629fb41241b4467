"""The model as files, commands and plans, and what HAProxy replies."""
