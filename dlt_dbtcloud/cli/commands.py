"""Table of the commands: their options, their examples, and the functions that execute them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlt_dbtcloud.cli.options import ARGUMENTS, EXTRAS, Option, count, new_option

__all__ = ["COMMANDS", "Command", "Example"]

# the arguments of all helpers that wait
_WAIT = ("wait_for_outcome", "wait_seconds", "timeout", "progress", "connection")


@dataclass(frozen=True)
class Example:
    """An example in the help of a command.

    Args:
        words: The command line after `dlt dbt-cloud`.
        purpose: What it does.
    """

    words: str
    purpose: str


@dataclass(frozen=True)
class Command:
    """A command.

    Args:
        name: The words that call it.
        summary: What it does, one sentence.
        action: The function that executes it, as `module:function` of `cli.actions`.
        examples: The examples in its help.
        helper: The helper that it calls, if any.
        arguments: The arguments of the helper that are options.
        own_arguments: Arguments of other helpers that are options.
        extras: Options that only the command line has.
        positional: The positional arguments.
    """

    name: str
    summary: str
    action: str
    examples: Sequence[Example]
    helper: str | None = None
    arguments: Sequence[str] = ()
    own_arguments: Sequence[str] = ()
    extras: Sequence[Option] = ()
    positional: Sequence[Option] = ()

    @property
    def options(self) -> Sequence[Option]:
        """All options and positional arguments."""
        named = [ARGUMENTS[name] for name in (*self.own_arguments, *self.arguments)]
        is_bound = "pipeline" in self.arguments
        folder = [EXTRAS["pipelines_dir"]] if is_bound else []
        return [*self.positional, *named, *folder, *self.extras, EXTRAS["json"]]


def _bare(name: str, noun: str) -> Option:
    """Return a positional argument for an id that is also an option."""
    return new_option(
        f"bare_{name}_id",
        f"the {noun}; by default that of the config",
        f"bare_{name}_id",
        nargs="?",
        metavar=name.upper(),
    )


_RUN = _bare("run", "run")
_JOB = _bare("job", "job")
_REPORT = new_option("report", "write the page of the run to this file", metavar="FILE")

_COMMANDS = (
    Command(
        "run",
        "Trigger a job and wait for its run.",
        "runs:run",
        (
            Example("run 70471823", "run a job and wait for its end"),
            Example("run --pipeline flights --only-loaded", "build what the last load changed"),
            Example(
                "run 70471823 --pipeline flights --var 'load_id={load_id}'",
                "pass the load to dbt as a variable",
            ),
            Example("run 70471823 --no-wait-for-outcome --json", "trigger it and print the run"),
            Example("run 70471823 --report run.html", "write the page of the run when it ends"),
        ),
        helper="run_dbt_cloud_job",
        arguments=(
            "job_id",
            "data",
            "pipeline",
            "only_loaded",
            "reuse_queued_run",
            "additional_vars",
            "retries",
            *_WAIT,
            "cancel_on_abandon",
            "raise_on_failure",
            "raise_on_warning",
        ),
        positional=(_JOB,),
        extras=(_REPORT,),
    ),
    Command(
        "status",
        "Show a run, by default when it has finished.",
        "runs:status",
        (
            Example("status 70471823900", "wait for the end of a run"),
            Example("status 70471823900 --no-wait-for-outcome", "show its current state"),
        ),
        helper="get_dbt_cloud_run_status",
        arguments=("run_id", *_WAIT, "cancel_on_abandon", "raise_on_failure"),
        positional=(_RUN,),
        extras=(_REPORT,),
    ),
    Command(
        "results",
        "Show the results of the nodes of a run, failures first.",
        "results:results",
        (
            Example("results 70471823900", "show what failed, and what took long"),
            Example("results 70471823900 --json", "print all results for a script"),
        ),
        helper="get_dbt_cloud_run_results",
        arguments=("run_id", "connection"),
        positional=(_RUN,),
    ),
    Command(
        "report",
        "Write the page of a run, or of the last runs of a job.",
        "report:report",
        (
            Example("report 70471823900", "write the page to `run-70471823900.html`"),
            Example("report 70471823900 -o failed.html", "write it to another file"),
            Example("report --job 70471823 --days 30", "write the page of a job's last 30 days"),
            Example(
                "report --job 70471823 --days 30 --pipeline flights",
                "read them from what the pipeline has loaded with `dbt_cloud_results`",
            ),
        ),
        helper="dbt_cloud_run_report",
        arguments=("run_id", "connection"),
        positional=(_RUN,),
        extras=(
            new_option(
                "output",
                "the file, or `-` to print the page; by default `run-RUN.html` or `job-JOB.html`",
                "--output",
                "-o",
                metavar="FILE",
            ),
            new_option(
                "open", "show it in the browser as well", action="store_true", default=False
            ),
            new_option(
                "job",
                "the page of the last runs of this job; without JOB, of the configured one",
                metavar="JOB",
                nargs="?",
                const=True,
            ),
            new_option(
                "days",
                "the number of days on the page of a job; 30 by default",
                metavar="N",
                type=count,
            ),
            new_option(
                "pipeline",
                "the pipeline of the run's load or of the job's results",
                metavar="NAME",
            ),
            EXTRAS["pipelines_dir"],
        ),
    ),
    Command(
        "retry",
        "Retry a failed run from where it failed.",
        "runs:retry",
        (
            Example("retry 70471823900 --retries 2", "retry a run, and twice again if it fails"),
            Example("retry 70471823900 --report run.html", "write the page of the retry"),
        ),
        helper="retry_dbt_cloud_run",
        arguments=("run_id", *_WAIT, "retries", "cancel_on_abandon", "raise_on_failure"),
        positional=(_RUN,),
        extras=(_REPORT,),
    ),
    Command(
        "cancel",
        "Cancel a run and wait until it has ended.",
        "runs:cancel",
        (Example("cancel 70471823900", "cancel a run"),),
        helper="cancel_dbt_cloud_run",
        arguments=("run_id", *_WAIT),
        positional=(_RUN,),
    ),
    Command(
        "logs",
        "Show the logs of the steps of a run.",
        "logs:logs",
        (
            Example("logs 70471823900", "show the logs of all steps"),
            Example("logs 70471823900 --follow", "print them while the run is running"),
            Example("logs 70471823900 --step 4 --debug-logs", "show the debug log of a step"),
        ),
        own_arguments=("run_id", "wait_seconds", "timeout", "connection"),
        positional=(_RUN,),
        extras=(
            new_option(
                "follow",
                "print the logs until the run has finished",
                "--follow",
                "-f",
                action="store_true",
                default=False,
            ),
            EXTRAS["step"],
            new_option("debug_logs", "show the debug logs", action="store_true", default=False),
        ),
    ),
    Command(
        "artifacts list",
        "List the artifacts of a run.",
        "artifacts:list_artifacts",
        (Example("artifacts list 70471823900", "list the artifacts of a run"),),
        own_arguments=("run_id", "connection"),
        positional=(_RUN,),
    ),
    Command(
        "artifacts download",
        "Download artifacts of a run into a folder.",
        "artifacts:download",
        (
            Example("artifacts download 70471823900 --to target", "download all artifacts"),
            Example(
                "artifacts download 70471823900 manifest.json --step 4",
                "download the manifest of a step into the folder `run-70471823900`",
            ),
        ),
        own_arguments=("run_id", "connection"),
        positional=(
            _RUN,
            new_option(
                "paths", "the artifacts; by default all", "paths", nargs="*", metavar="PATH"
            ),
        ),
        extras=(
            new_option("to", "the folder; by default `run-RUN`", metavar="FOLDER"),
            EXTRAS["step"],
        ),
    ),
    Command(
        "jobs",
        "List the jobs of the account.",
        "listings:jobs",
        (
            Example("jobs", "list the jobs"),
            Example("jobs --name nightly --json", "print jobs for a script"),
        ),
        own_arguments=("connection",),
        extras=tuple(EXTRAS[name] for name in ("name", "project_id", "environment_id", "limit")),
    ),
    Command(
        "runs",
        "List the last runs of a job, or of the account.",
        "listings:runs",
        (
            Example("runs 70471823", "list the last runs of a job"),
            Example("runs --status error --limit 5", "list the last failed runs of the account"),
        ),
        own_arguments=("job_id", "connection"),
        positional=(_JOB,),
        extras=tuple(EXTRAS[name] for name in ("status", "project_id", "environment_id", "limit")),
    ),
    Command(
        "plan",
        "Show what a run would execute for the last load, and how long it would take.",
        "plan:plan",
        (
            Example("plan 70471823 --pipeline flights", "show what the last load would build"),
            Example("plan 70471823 --no-only-loaded", "show the whole job"),
        ),
        helper="plan_dbt_cloud_job",
        arguments=("job_id", "data", "pipeline", "only_loaded", "additional_vars", "connection"),
        positional=(_JOB,),
    ),
    Command(
        "check",
        "Check the config, the account, the job and the sources, without starting anything.",
        "check:check",
        (
            Example("check", "check the config and the account"),
            Example("check 70471823 --pipeline flights", "check a job and the tables it builds on"),
        ),
        helper="check_dbt_cloud",
        arguments=("pipeline", "connection"),
        own_arguments=("job_id",),
        positional=(_JOB,),
    ),
    Command(
        "sources",
        "Show, write or check the dbt sources of what a pipeline loads.",
        "sources:sources",
        (
            Example("sources flights", "print them as YAML"),
            Example("sources flights --write sources.yml", "write them to a file"),
            Example(
                "sources flights --check --job-id 70471823",
                "compare them with the newest manifest of a job",
            ),
        ),
        own_arguments=("job_id", "connection"),
        positional=(
            new_option("pipeline_name", "the pipeline", "pipeline_name", metavar="PIPELINE"),
        ),
        extras=(
            EXTRAS["pipelines_dir"],
            new_option(
                "write",
                "write them to this file; replace only a file written by this command",
                metavar="FILE",
            ),
            new_option(
                "check",
                "report what the sources of the job lack",
                action="store_true",
                default=False,
            ),
        ),
    ),
    Command(
        "emulate",
        "Serve dbt projects as an embedded dbt Cloud, and print how to reach it.",
        "emulate:emulate",
        (
            Example("emulate examples/flights_dbt", "serve a dbt project with dbt Core"),
            Example(
                "emulate one two --dbt-executable v2/bin/dbt --port 8580",
                "serve two projects on a fixed port with another dbt",
            ),
        ),
        positional=(
            new_option(
                "projects",
                "the folders of dbt projects; by default the current folder",
                "projects",
                nargs="*",
                metavar="PROJECT",
            ),
        ),
        extras=(
            new_option("port", "the port on 127.0.0.1; by default a free one", type=int, default=0),
            new_option(
                "dbt_executable",
                "the dbt program; by default the one beside Python or on the PATH",
                metavar="PROGRAM",
            ),
            new_option(
                "profiles_dir",
                "the folder of profiles.yml; by default that of each project",
                metavar="FOLDER",
            ),
            new_option(
                "commands",
                "a dbt command of the jobs, repeatable; by default `dbt build`",
                "--execute-step",
                metavar="COMMAND",
                action="append",
            ),
        ),
    ),
)

COMMANDS: Mapping[str, Command] = {command.name: command for command in _COMMANDS}
