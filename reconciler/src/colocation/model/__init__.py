"""Data only: quantities, names, and the few fields of Kubernetes objects that we read. No I/O, no decisions."""
