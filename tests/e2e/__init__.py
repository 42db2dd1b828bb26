"""The main job on real machines: roll out, use, break, take away. One lab for all, in the order of the files."""
