"""Judges what was collected: keeps recent samples, evaluates the rules over them, tells what fires."""
