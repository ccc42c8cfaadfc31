"""What the README shows works: every block of code in it is run here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from textwrap import indent

import pytest
from dlt.common.configuration import resolve_configuration

import dlt_dbtcloud
from dlt_dbtcloud import DBTCloudConfiguration
from dlt_dbtcloud.emulator import DBTCloudEmulator
from dlt_dbtcloud.loads.packages import last_load
from tests.conftest import WriteConfig
from tests.support.flights import Flights
from tests.support.wire import KeepAliveServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [code for its, code in BLOCKS if its == language]


def test_every_block_is_of_a_language_that_is_run_here() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "sh", "toml", "diff", "text"}


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, marks=pytest.mark.dbt if "project_dir" in code else ())
        for code in blocks("python")
    ],
)
def test_python(
    cloud: DBTCloudEmulator, monkeypatch: pytest.MonkeyPatch, isolated: Path, code: str
) -> None:
    monkeypatch.setenv("DBT_CLOUD__JOB_ID", str(cloud.create_job("Nightly")))
    (isolated / "examples").symlink_to(ROOT / "examples")
    with KeepAliveServer({}) as backend:
        monkeypatch.setenv("OPENLINEAGE_URL", backend.url)
        exec(compile(code, "README.md", "exec"), {})
        assert bool(backend.requests) == ("emit_openlineage" in code)


@pytest.mark.parametrize("code", blocks("toml"))
def test_toml(write_config: WriteConfig, code: str) -> None:
    write_config("secrets.toml", code)
    config = resolve_configuration(DBTCloudConfiguration())
    assert (config.account_id, config.job_id) == ("70403", "70471823")
    assert config.base_api_url == "https://ab123.us1.dbt.com/api"


@pytest.mark.parametrize("line", "".join(blocks("sh")).splitlines())
def test_make_knows_the_targets(line: str) -> None:
    make, target = line.split("#")[0].split()
    subprocess.run([make, "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("code", blocks("diff"))
def test_both_sides_of_a_diff_can_be_imported(code: str) -> None:
    for line in code.splitlines():
        exec(line[1:], {})


@pytest.mark.dbt
def test_text_is_what_a_failure_says(cloud: DBTCloudEmulator, flights: Flights) -> None:
    flights.load()
    flights.make_times_impossible()
    with pytest.raises(dlt_dbtcloud.DBTCloudRunFailed) as caught:
        dlt_dbtcloud.run_dbt_cloud_job(
            job_id=flights.job(), pipeline=flights.pipeline, raise_on_failure=True
        )
    failure = caught.value
    (node,) = failure.failures
    assert node["message"]
    load = last_load(flights.pipeline)
    said = str(failure).replace(str(failure.run_url), "URL").replace(str(failure.run_id), "RUN")
    (text,) = blocks("text")
    text = re.sub(r"https:\S+/(?=\.)", "URL", text).replace("70471823900", "RUN")
    # dbt and DuckDB word the message, so the README's may be of an older release
    text = re.sub(
        r"(^ {7}.*\n)+", lambda _: indent(f"{node['message']}\n", " " * 7), text, flags=re.M
    )
    assert said == text.replace("1732150000.123", load.load_id if load else "").strip()


def test_every_key_is_listed() -> None:
    for name in DBTCloudConfiguration.get_resolvable_fields():
        assert f"`{name}`" in README


def test_every_error_is_listed_that_a_caller_may_meet() -> None:
    listed = set(re.findall(r"`((?:DBTCloud|Invalid)\w+)`", README))
    assert listed - {"DBTCloudClientV2", "DBTCloudEmulator"} <= set(dlt_dbtcloud.__all__)
    bases = {"DBTCloudAPIError", "DBTCloudException", "DBTCloudRunError"}
    for name in dlt_dbtcloud.__all__:
        if isinstance(getattr(dlt_dbtcloud, name), type) and name not in bases:
            assert name in README


def test_every_file_that_is_linked_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_heading_that_is_linked_is_there() -> None:
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors


def test_what_a_user_copies_is_refused_until_it_is_filled_in(write_config: WriteConfig) -> None:
    write_config("secrets.toml", (ROOT / ".dlt" / "example.secrets.toml").read_text())
    with pytest.raises(
        dlt_dbtcloud.InvalidCredentialsException,
        match="Still a placeholder: `api_token` and `account_id` and",
    ):
        resolve_configuration(DBTCloudConfiguration())
