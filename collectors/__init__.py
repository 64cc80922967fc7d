"""What is there: observes targets, read-only. Imports nothing else of the product."""
