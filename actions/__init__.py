"""What to do about it: builds plans as data, and runs servers of our own to try things on."""
