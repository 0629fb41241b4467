"""Everything that touches the world: the engine, HAProxy, files. Adapters know the core, never each other."""
