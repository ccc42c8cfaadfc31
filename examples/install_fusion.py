"""Install dbt Fusion and its DuckDB driver from PyPI and npm into a folder.

    python examples/install_fusion.py .venv-fusion

The folder then contains a program `dbt`, to pass to the emulator as `dbt_executable`. Nothing is
downloaded if the right versions are installed. DuckDB's driver is part of an npm package.
"""

import json
import platform
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

DBT = "2.0.0rc196"
DUCKDB = "1.5.6"
BINDINGS = f"{DUCKDB}-r.1"
# by system and machine: the npm package, the library in it, and ADBC's name of the platform
DRIVERS = {
    ("Linux", "x86_64"): ("linux-x64", "libduckdb.so", "linux_amd64"),
    ("Linux", "aarch64"): ("linux-arm64", "libduckdb.so", "linux_arm64"),
    ("Darwin", "arm64"): ("darwin-arm64", "libduckdb.dylib", "macos_arm64"),
    ("Darwin", "x86_64"): ("darwin-x64", "libduckdb.dylib", "macos_amd64"),
}


def install(folder: Path) -> Path:
    """Install into a folder, and return the program to run.

    Raises:
        RuntimeError: The platform is not supported, or npm is missing or failed.
    """
    system, machine = platform.system(), platform.machine()
    if (system, machine) not in DRIVERS:
        known = ", ".join(" ".join(each) for each in DRIVERS)
        raise RuntimeError(f"dbt Fusion is available for {known}, and not for {system} {machine}.")
    package, library, adbc = DRIVERS[system, machine]
    stamp = folder / "installed.json"
    versions = {"dbt": DBT, "duckdb": BINDINGS, "platform": package}
    if not stamp.is_file() or json.loads(stamp.read_text()) != versions:
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                "npm was not found. It comes with Node.js, and downloads DuckDB's driver here."
            )
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "drivers").mkdir(parents=True)
        print(f"Installing dbt {DBT} (dbt Fusion) in {folder} ...", flush=True)
        install_dbt(folder)
        print(f"Installing the driver of DuckDB {DUCKDB} ...", flush=True)
        unpack_driver(npm, f"@duckdb/node-bindings-{package}@{BINDINGS}", library, folder)
        stamp.write_text(json.dumps(versions))
    return write_program(folder.resolve(), adbc, library)


def install_dbt(folder: Path) -> None:
    """Install the wheel, which is one program, with uv or else with pip."""
    uv, pip = [sys.executable, "-m", "uv", "pip"], [sys.executable, "-m", "pip", "--quiet"]
    options = ["--no-deps", "--only-binary", ":all:", "--target", str(folder)]
    for installer in ([*uv, "install", "--quiet"], [*pip, "install"]):
        done = execute([*installer, *options, f"dbt=={DBT}"])
        if done.returncode == 0:
            return
    raise RuntimeError(f"dbt {DBT} could not be installed from PyPI:\n{done.stderr.strip()}")


def unpack_driver(npm: str, package: str, library: str, folder: Path) -> None:
    """Download an npm package, and keep its library."""
    command = [npm, "pack", "--silent", "--pack-destination", str(folder), package]
    done = execute(command)
    if done.returncode:
        raise RuntimeError(f"`{shlex.join(command)}` failed:\n{done.stderr.strip()}")
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as files:
        content = files.extractfile(f"package/{library}")
        if content is None:
            raise RuntimeError(f"{package} contains no {library}.")
        with content, (folder / "drivers" / library).open("wb") as file:
            shutil.copyfileobj(content, file)
    archive.unlink()


def execute(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Execute a command without a shell."""
    return subprocess.run(command, capture_output=True, text=True)  # noqa: S603, it is ours


def write_program(folder: Path, adbc: str, library: str) -> Path:
    """Write a program that runs dbt with the driver; the paths are absolute."""
    drivers = folder / "drivers"
    (drivers / "duckdb.toml").write_text(
        f'manifest_version = 1\nname = "DuckDB"\nversion = "{DUCKDB}"\n\n'
        '[Driver]\nentrypoint = "duckdb_adbc_init"\n\n'
        f"[Driver.shared]\n{adbc} = {json.dumps(str(drivers / library))}\n"
    )
    program = folder / "dbt"
    program.write_text(
        "#!/bin/sh\n"
        "export DBT_SEND_ANONYMOUS_USAGE_STATS=false\n"
        f"export ADBC_DRIVER_PATH={shlex.quote(str(drivers))}\n"
        f'exec {shlex.quote(str(folder / "bin" / "dbt"))} "$@"\n'
    )
    program.chmod(0o755)
    return program


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python examples/install_fusion.py FOLDER")
    try:
        install(Path(sys.argv[1]))
    except (OSError, RuntimeError, tarfile.TarError) as error:
        sys.exit(f"Error: {error}")
