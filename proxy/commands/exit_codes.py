"""Exit codes of every command, for scripts."""

OK = 0
PROBLEMS = 1
"""Problems were found, or the action did not succeed."""
SETTINGS_WRONG = 2
"""The settings or the command line are wrong. Trying again does not help."""
NO_ANSWER = 3
"""The engine, HAProxy or the controller does not answer."""
