"""Frontends, routes, backends, servers and certificates, in HAProxy's terms."""
