"""One pass and its loop: observe, decide, apply, report."""
