"""The web console and its REST API: what people see and change, each with exactly their own rights."""
