"""What the command line shows of a running daemon, and how it asks. Reads the HTTP API and nothing else."""
