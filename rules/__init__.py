"""What is wrong: judges samples. Pure: no clock, no file, no socket."""
