"""What the engine should do, decided without I/O: how much offline CPU, how it is split, which values to write."""
