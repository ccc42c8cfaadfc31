"""The log of dbt Fusion names errors and failed nodes; that of dbt Core is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from dlt_dbtcloud.dbt import Entry, FusionLog, has_project_error

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


@pytest.mark.parametrize(
    ("node", "logged"),
    [
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
    ],
)
def test_what_is_logged_about_a_node(node: dict[str, Any], logged: list[str]) -> None:
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (UNKNOWN_REF, True),
        ("[error] [MacroSyntaxInvalid (dbt1502)]: unexpected end of block", True),
        ("[error] [EnvVarMissing (dbt1104)]: 'X' is not set", False),
        ("Compilation Error in model x (models/x.sql)", True),
        (DATABASE_ERROR, False),
        ("[error] [OperationCanceled (dbt8995)]: Operation cancelled", False),
        ("Database Error in model x", False),
    ],
)
def test_errors_in_the_projects_code_differ_from_others(text: str, expected: bool) -> None:
    assert has_project_error(text) is expected
