"""The sessions on the page are those of a recorded run, at terminals of some widths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.cli.conftest import Cli
from tests.fixtures import Recorded
from tests.support.docs.pages import ROOT
from tests.support.projects.flights import Flights

PAGE = ROOT / "docs" / "cli.md"
JOB, RUN = "70471823", "70471823900"
# the columns of the terminal, and the command
SESSIONS = (
    (80, ["run", JOB]),
    (80, ["results", RUN]),
    (100, ["check", JOB, "--pipeline", "flights"]),
    (80, ["plan", JOB, "--pipeline", "flights"]),
    (40, ["status", RUN]),
)
# what differs each time, and what the page has instead
FICTION = {
    r"http://127\.0\.0\.1:\d+/deploy/\d+/projects/\d+/": "https://ab123.us1.dbt.com/deploy/1/projects/2/",
    r"\[dlt:\w+\]": "[dlt:3f9c2ab41d07]",
    r"\d{10}\.\d+": "1795766430.51667",
    r"00:0\d:\d\d": "00:00:00",
    r"127\.0\.0\.1:\d+": "ab123.us1.dbt.com",
    r"http://ab123": "https://ab123",
    r"[Aa]ccount 70403 \(`[^`]*`\)": "account 1 (`Shop`)",
    r"accounts/70403": "accounts/1",
    r"(project|environment) \d{9,}": r"\1 2",
    # the lines of progress depend on the speed of the machine
    r"(?m)^dbt Cloud run \d+: .*\n": "",
}
# durations, padded to the width of a column, and their bars
DURATION = re.compile(r" *[\d.]+ m?s\b| *[━╸╺]+")


def test_sessions_are_those_of_a_real_run(
    request: pytest.FixtureRequest,
    recorded: Recorded,
    cloud: DBTCloudEmulator,
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`make record` writes them with the recording, and `make compare` ignores durations."""
    flights = Flights(recorded("failed_model"), tmp_path)
    flights.load_for_dbt("weather")
    flights.make_times_impossible()
    job = str(flights.job())
    ids = {JOB: job}
    page = PAGE.read_text()
    for columns, words in SESSIONS:
        monkeypatch.setenv("COLUMNS", str(columns))
        done = cli(*(ids.get(word, word) for word in words))
        if cloud.runs:
            ids.setdefault(RUN, str(cloud.runs[-1]["id"]))
        session = "".join(f"{line.rstrip()}\n" for line in (done.err + done.out).splitlines())
        for pattern, text in FICTION.items():
            session = re.sub(pattern, text, session)
        for text, value in ids.items():
            session = session.replace(value, text)
        command = re.escape(f"$ dlt dbt-cloud {' '.join(words)}\n")
        begin, shown, end = re.split(
            rf"(?<={command})(.*?)(?=```)", page, maxsplit=1, flags=re.DOTALL
        )
        if request.config.getoption("record"):
            page = f"{begin}{session}{end}"
        elif request.config.getoption("compare"):
            assert DURATION.sub("", shown) == DURATION.sub("", session)
        else:
            assert shown == session
    if request.config.getoption("record"):
        PAGE.write_text(page)
