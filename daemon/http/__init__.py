"""The daemon's HTTP side: exposition, JSON API, health."""
