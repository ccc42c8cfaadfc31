"""Time to redact a log of 10 MB, and worse texts.

.venv/bin/python -m benchmarks.redaction
"""

from __future__ import annotations

import time

from dlt_dbtcloud.redaction import redact

LENGTH = 10_000_000
TEXTS = {
    "a log of dbt": "12:00:00  1 of 82 OK created sql table model analytics.dim_x [OK in 0.06s]\n",
    "one word": "a",
    "assignments": "password=hunter2 ",
    "open quotes": "token='",
    "URLs": "x://y:",
    "keys": "sk-",
}


def main() -> None:
    """Print a row for each text."""
    for name, words in TEXTS.items():
        text = (words * (LENGTH // len(words) + 1))[:LENGTH]
        began = time.thread_time()
        redact(text)
        print(f"{name:>15}: {time.thread_time() - began:5.1f} s")


if __name__ == "__main__":
    main()
