"""A routing proxy for containers: reads labels, keeps a real HAProxy routing to the containers that can answer."""
