"""Acting in the daemon: from alerts by policies to plans, decisions and executions."""
