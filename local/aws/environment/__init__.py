"""What runs inside an execution environment of Lambda: a process of its own that knows nothing of the host."""
