"""Pure core: values in, values out. Nothing here does I/O, logs, or reads the clock or the environment."""
