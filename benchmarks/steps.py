"""CPU seconds of dbt commands in the embedded dbt Cloud: forked, and as a subprocess.

python -m benchmarks.steps
"""

from __future__ import annotations

import resource
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from dlt_dbtcloud import DBTCloudClientV2
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.support.projects.tiny import write_tiny

COMMAND = "dbt build"
FURTHER = 4
TURNS = 2
# the names of the ways, and their `dbt_executable`
WAYS = {"forked": None, "subprocess": "dbt"}


def main() -> None:
    """Print the CPU seconds of the first command of an emulator, and of each further one."""
    table = Table(title=f"CPU seconds of `{COMMAND}` with two models, the fastest of {TURNS}")
    for heading in ("", *WAYS, "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    turns = [{way: measure(program) for way, program in WAYS.items()} for _ in range(TURNS)]
    for index, name in enumerate(("first command of an emulator", "each further command")):
        forked, subprocess = (min(turn[way][index] for turn in turns) for way in WAYS)
        table.add_row(name, f"{forked:.2f}", f"{subprocess:.2f}", f"{forked / subprocess:.2f}")
    Console(width=120).print(table)


def measure(program: str | None) -> tuple[float, float]:
    """Return the CPU seconds of a first command, and of each further one."""
    one, many = (_seconds(program, commands) for commands in (1, 1 + FURTHER))
    return one, (many - one) / FURTHER


def _seconds(program: str | None, commands: int) -> float:
    """Return the CPU seconds of all processes of an emulator that runs some commands."""
    before = _children()
    with TemporaryDirectory() as folder, DBTCloudEmulator() as cloud:
        job = cloud.create_job(
            "Nightly",
            execute_steps=[COMMAND] * commands,
            project_dir=write_tiny(Path(folder) / "tiny"),
            dbt_executable=program,
        )
        with DBTCloudClientV2(cloud.api_token, cloud.account_id, cloud.url) as client:
            run = cloud.wait_for_run(client.trigger_job_run(job), 600)
        assert run["is_success"]
    # the emulator has ended its processes
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
