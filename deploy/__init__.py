"""Releases: state machine, online evaluation, runtimes, schedule."""
