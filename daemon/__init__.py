"""Runs the product: configuration, schedule, HTTP, command line. Nobody imports it."""
