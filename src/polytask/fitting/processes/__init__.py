"""Where a fit runs: device, threads, processes."""
