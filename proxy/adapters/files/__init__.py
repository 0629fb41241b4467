"""Files that people and the controller write: services, certificates, weights, status."""
