"""One engine for all visitors of a process: one way in for jobs, batches, a bounded cache, turns for long work."""
