"""HAProxy and the controller, kept running apart from each other."""
