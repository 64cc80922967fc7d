"""The subcommands of `dbarchitect`, one file each."""
