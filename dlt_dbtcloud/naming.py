"""How a run is named in what is said of it."""

from __future__ import annotations

from dlt_dbtcloud.typing import Run

__all__ = ["run_link", "run_name"]


def run_name(run: Run, word: str = "Run") -> str:
    """Return a run's name: `Run 7 of job "Nightly"`, or with the job's id where it has no name.

    Args:
        run: The run.
        word: What it begins with.
    """
    name, job_id = (run.get("job") or {}).get("name"), run.get("job_definition_id")
    job = f'"{name}"' if name else job_id
    return f"{word} {run.get('id')}" + (f" of job {job}" if job else "")


def run_link(run: Run) -> str:
    """Return what links to a run's page, to follow its name; nothing where it has none."""
    return f" ({run['href']})" if run.get("href") else ""
