"""The command line and the demo: the only room that knows all others."""
