"""The log of dbt Fusion names errors and failed nodes; that of dbt Core is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.dbt import Entry, FusionLog, has_project_error, stale_count, warning_count

LOG = """dbt-fusion 2.0.0-preview.196
   Loading profiles.yml
    Failed [  0.03s] test  not_null_id (models/schema.yml:7:13)
    Failed [  1.11s] model marts.price_list (table)
   Skipped [-------] model marts.after (table)

=================== Errors and Warnings ====================
[warning] [Unexpected (dbt9002)]: We will assume a UTC timezone
  --> models/freshness.yml
   0: <unknown>
   1: start_thread
             at ./nptl/pthread_create.c:442:8

[error] [DbDriverFailed (dbt1308)]: Database Error in model broken (target/run/broken.sql)
  Binder Error: Referenced column "x" not found
   0: <unknown>
   1: <unknown>

[error] [DependencyNotFound (dbt1048)]: Ref 'no_such_model' not found
  --> models/bad.sql:1:15
   0: <unknown>
   1: clone3
             at ./misc/../sysdeps/unix/sysv/linux/x86_64/clone3.S:81:0


==================== Execution Summary =====================
Finished 'build' with 2 errors for target 'dev' [1.8s]
"""
DATABASE_ERROR = (
    "[error] [DbDriverFailed (dbt1308)]: Database Error in model broken (target/run/broken.sql)\n"
    '  Binder Error: Referenced column "x" not found'
)
UNKNOWN_REF = (
    "[error] [DependencyNotFound (dbt1048)]: Ref 'no_such_model' not found\n"
    "  --> models/bad.sql:1:15"
)


def coloured(log: str) -> str:
    return log.replace("[error]", "\x1b[31m[error]\x1b[0m").replace(
        "Failed", "\x1b[1mFailed\x1b[0m"
    )


def timed(log: str) -> str:
    return "\n".join(f"06:00:01.25  {line}" for line in log.split("\n"))


def test_errors_have_no_backtraces_and_no_warnings() -> None:
    assert FusionLog(LOG).errors == [DATABASE_ERROR, UNKNOWN_REF]


@pytest.mark.parametrize("log", [coloured(LOG), LOG.replace("\n", "\r\n")])
def test_colours_and_line_ends_do_not_matter(log: str) -> None:
    assert FusionLog(log).errors == FusionLog(LOG).errors


def test_lines_may_begin_with_a_time() -> None:
    errors = FusionLog(timed(LOG)).errors
    assert [error.split("\n")[0] for error in errors] == [
        DATABASE_ERROR.split("\n")[0],
        UNKNOWN_REF.split("\n")[0],
    ]


def test_errors_are_found_by_their_node() -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        # by the node's name, by its file, by its relation
        ({"name": "broken"}, [DATABASE_ERROR]),
        ({"name": "bad", "original_file_path": "models/bad.sql"}, [UNKNOWN_REF]),
        (
            {"name": "prices", "schema": "marts", "alias": "price_list"},
            ["Failed [  1.11s] model marts.price_list (table)"],
        ),
        (
            {"name": "not_null_id", "resource_type": "test"},
            ["Failed [  0.03s] test  not_null_id (models/schema.yml:7:13)"],
        ),
        ({"name": "after", "schema": "marts", "alias": "after"}, []),
        ({"name": "oken"}, []),
        ({"name": "bad", "original_file_path": "models/ba"}, []),
        ({"name": "not_null_id", "resource_type": "model"}, []),
    ]
    for node, logged in cases:
        assert FusionLog(LOG).about(Entry(**{"resource_type": "model", **node})) == logged


UNIT_TESTS = """
    Failed [  0.07s] unit_test marts_dbt_test__audit.prices_unit (models/schema.yml:36:11)

====================== Test Failures =======================
Test failed: prices_unit
+----+--------+
| id | amount |
+----+--------+
| 1  | 3 -> 4 |
+----+--------+
1 row(s) differ.

Test failed: other_unit
1 row(s) differ.

==================== Execution Summary =====================
Finished 'build' with 2 errors for target 'dev' [1.3s]
"""


@pytest.mark.parametrize("log", [UNIT_TESTS, coloured(UNIT_TESTS)])
def test_the_log_has_the_rows_by_which_a_unit_test_failed(log: str) -> None:
    (quoted,) = FusionLog(log).about(Entry(resource_type="unit_test", name="prices_unit"))
    assert quoted.startswith("Test failed: prices_unit")
    assert "| 1  | 3 -> 4 |" in quoted
    assert quoted.endswith("1 row(s) differ.")
    assert "other_unit" not in quoted


def test_a_log_of_dbt_core_has_no_such_errors() -> None:
    log = (
        "06:00:01  Running with dbt=1.11.7\n06:00:02  1 of 1 ERROR creating x .... [ERROR in 0.1s]"
    )
    assert FusionLog(log).errors == []
    assert FusionLog("").errors == []


def test_errors_in_the_projects_code_differ_from_others() -> None:
    for text, expected in [
        (UNKNOWN_REF, True),
        ("[error] [MacroSyntaxInvalid (dbt1502)]: unexpected end of block", True),
        ("[error] [EnvVarMissing (dbt1104)]: 'X' is not set", False),
        ("Compilation Error in model x (models/x.sql)", True),
        (DATABASE_ERROR, False),
        ("[error] [OperationCanceled (dbt8995)]: Operation cancelled", False),
        ("Database Error in model x", False),
    ]:
        assert has_project_error(text) is expected


CHECK = "22:06:36  {} of 2 {} freshness of raw.orders ........ [{} in 0.13s]\n"
CHECKED = "22:06:36  Finished running 2 sources in 0 hours 0 minutes and 0.92 seconds (0.92s)."


def test_warnings_are_counted_at_the_end_of_a_log() -> None:
    for log, count in [
        ("22:05:40  Done. PASS=6 WARN=1 ERROR=0 SKIP=0 NO-OP=0 TOTAL=7", 1),
        # before dbt 1.10
        ("22:05:40  Done. PASS=6 WARN=0 ERROR=0 SKIP=0 TOTAL=6", 0),
        ("\x1b[0m22:05:40  Done. PASS=6 WARN=12 ERROR=0 SKIP=0 TOTAL=6\x1b[0m", 12),
        ("Summary: 8 total | 6 success | 1 warn | 1 no-op", 1),
        ("Processed: 4 models\nSummary: 8 total | 7 success | 1 no-op", 0),
        ("22:05:40  Completed successfully", None),
        ("", None),
    ]:
        assert warning_count(log) == count


@pytest.mark.parametrize(
    ("log", "count"),
    [
        (CHECK.format(1, "START", "RUN") + CHECK.format(1, "PASS", "PASS") + CHECKED, 0),
        (CHECK.format(1, "WARN", "WARN") + CHECK.format(2, "ERROR STALE", "ERROR") + CHECKED, 2),
        (CHECK.format(1, "PASS", "PASS"), None),
        ("Done. PASS=6 WARN=1 ERROR=0 SKIP=0 TOTAL=6", None),
    ],
)
def test_stale_sources_are_counted_if_all_were_checked(log: str, count: int | None) -> None:
    assert stale_count(log) == count
