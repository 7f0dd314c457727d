"""Prometheus, Alertmanager, Grafana, runbooks: files, and the checks that hold them true."""
