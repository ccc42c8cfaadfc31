"""`artifacts` lists and downloads, and never writes outside of the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dlt_dbtcloud.cli.actions.artifacts import UnsafePathError, target_file
from dlt_dbtcloud.emulator import DBTCloudEmulator
from tests.cli.conftest import Cli
from tests.support.past_runs import ended_run
from tests.support.servers.wire import WireServer

UNSAFE = [
    "../evil.json",
    "a/../../evil.json",
    "/etc/passwd",
    "a//b",
    "./a",
    "",
    "..\\evil",
    "C:\\evil",
    "C:evil",
    "a/\x00b",
    "a\nb",
    "link/evil.json",
]


def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    for path in UNSAFE:
        with pytest.raises(UnsafePathError, match="is not written"):
            target_file(folder, path)


@pytest.mark.parametrize("path", ["manifest.json", "compiled/shop/models/a.sql", "a b/ü.sql"])
def test_a_path_in_the_folder_is_kept(path: str, tmp_path: Path) -> None:
    assert target_file(tmp_path / "new", path) == tmp_path / "new" / path


def test_artifacts_are_listed_and_downloaded(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path
) -> None:
    files = {"manifest.json": {"nodes": {}}, "compiled/shop/a.sql": b"select 1"}
    run = ended_run(cloud, cloud.create_job("Nightly", artifacts=files))["id"]
    assert cli("artifacts", "list", run).out.splitlines() == sorted(files)
    assert cli("artifacts", "list", run, "--json").json == sorted(files)
    done = cli("artifacts", "download", run)
    assert done.status == 0
    assert (isolated / f"run-{run}" / "compiled" / "shop" / "a.sql").read_bytes() == b"select 1"
    done = cli("artifacts", "download", "--run-id", run, "manifest.json", "--to", "t", "--json")
    assert done.json == [str(Path("t", "manifest.json"))]
    assert json.loads((isolated / "t" / "manifest.json").read_text()) == {"nodes": {}}


def test_an_artifact_that_does_not_exist_is_bad_input(
    cli: Cli, cloud: DBTCloudEmulator, isolated: Path
) -> None:
    run = ended_run(cloud, cloud.create_job("Nightly"))["id"]
    done = cli("artifacts", "download", run, "nothing.json")
    assert done.status == 2
    assert "status 404" in done.err
    (isolated / "file").touch()
    assert "is not a folder" in cli("artifacts", "download", run, "--to", "file").err


def response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def test_a_malicious_server_writes_nothing_outside(
    cli: Cli, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = {"status": {"code": 200, "is_success": True}, "data": ["../evil.json", "good.json"]}
    with WireServer(response(json.dumps(listing).encode()), response(b"{}")) as server:
        monkeypatch.setenv("DBT_CLOUD__API_TOKEN", "dbtc_0123456789abcdef")
        monkeypatch.setenv("DBT_CLOUD__ACCOUNT_ID", "1")
        monkeypatch.setenv("DBT_CLOUD__BASE_API_URL", server.url)
        done = cli("artifacts", "download", "7", "--to", "target")
    assert done.status == 1
    assert done.out.split() == [str(Path("target", "good.json"))]
    assert "`../evil.json` is not written" in done.err
    assert [path.name for path in isolated.rglob("*.json")] == ["good.json"]


def test_a_file_that_cannot_be_written_does_not_stop_the_others(
    cli: Cli, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / "target" / "folder").mkdir(parents=True)
    (isolated / "target" / "loop").symlink_to("loop")
    paths = ["d/" * 2000 + "deep", "folder", "good.json", "loop/file", "n" * 300]
    listing = {"status": {"code": 200, "is_success": True}, "data": paths}
    files = [response(b"{}")] * len(paths)
    with WireServer(response(json.dumps(listing).encode()), *files) as server:
        monkeypatch.setenv("DBT_CLOUD__API_TOKEN", "dbtc_0123456789abcdef")
        monkeypatch.setenv("DBT_CLOUD__ACCOUNT_ID", "1")
        monkeypatch.setenv("DBT_CLOUD__BASE_API_URL", server.url)
        done = cli("artifacts", "download", "7", "--to", "target", "--json")
    assert done.status == 1
    assert done.json == [str(Path("target", "good.json"))]
    assert done.err.count("error: Artifact") == len(paths) - 1
    assert max(map(len, done.err.splitlines())) < 200
