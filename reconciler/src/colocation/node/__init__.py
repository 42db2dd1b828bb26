"""I/O on the node: cgroup files, probes, the journal of changed values, the last known spec."""
