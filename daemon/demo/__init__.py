"""A real primary, replica and workload under watch, with faults on request; all gone at the end."""
