"""What charts, backtests and restarts need of the past: a store of its own, or a Prometheus far away."""
