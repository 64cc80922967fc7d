"""Alerts that Alertmanagers send us: read, stored before they are acknowledged, each taken once."""
