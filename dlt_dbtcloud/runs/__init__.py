"""One call, one run: trigger, watch, retry and report."""
