"""The other proxies of a cluster: the trust between them, what this one offers, and what their engines run."""
