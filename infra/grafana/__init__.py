"""Grafana: what the dashboards show, and the files that it reads."""
