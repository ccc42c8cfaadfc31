"""Call tools of the MCP server `dbt-mcp`, and print their results as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

# seconds between two checks of a run
POLL = 1.0
FINISHED = (10, 20, 30)


async def main() -> None:
    server = StdioServerParameters(command="dbt-mcp", env=dict(os.environ))
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        job, broken, endless = map(int, sys.argv[1:])
        answers = {
            **await build(session, job),
            **await repair(session, broken),
            **await cancel(session, endless),
        }
        print(json.dumps(answers))


async def build(session: ClientSession, job: int) -> dict[str, Any]:
    """Find and trigger a job, and read what its run left."""
    projects = await call(session, "list_projects")
    jobs = await call(session, "list_jobs")
    details = await call(session, "get_job_details", job_id=job)
    run = await trigger(session, job)
    runs = await call(session, "list_jobs_runs", job_id=job, order_by="-id")
    artifacts = await call(session, "list_job_run_artifacts", run_id=run["id"])
    path = {"run_id": run["id"], "artifact_path": "run_results.json"}
    results = await call(session, "get_job_run_artifacts", **path)
    return {
        "projects": projects["result"],
        "jobs": jobs["result"],
        "job": details,
        "run": run,
        "runs": runs["result"],
        "artifacts": artifacts["result"],
        "results": json.loads(results["result"]),
    }


async def repair(session: ClientSession, job: int) -> dict[str, Any]:
    """Read the error of a failed run, and retry it."""
    run = await trigger(session, job)
    error = await call(session, "get_job_run_error", run_id=run["id"])
    retry = await call(session, "retry_job_run", run_id=run["id"])
    return {"error": error, "retry": await finished(session, retry)}


async def cancel(session: ClientSession, job: int) -> dict[str, Any]:
    """Cancel a run."""
    run = await call(session, "trigger_job_run", job_id=job, cause="dbt-mcp")
    await call(session, "cancel_job_run", run_id=run["id"])
    return {"cancelled": await finished(session, run)}


async def trigger(session: ClientSession, job: int) -> dict[str, Any]:
    run = await call(session, "trigger_job_run", job_id=job, cause="dbt-mcp")
    return await finished(session, run)


async def finished(session: ClientSession, run: dict[str, Any]) -> dict[str, Any]:
    while run["status"] not in FINISHED:
        await asyncio.sleep(POLL)
        run = await call(session, "get_job_run_details", run_id=run["id"])
    return run


async def call(session: ClientSession, tool: str, **arguments: Any) -> Any:
    answer = await session.call_tool(tool, arguments)
    if answer.isError:
        raise RuntimeError(f"{tool} failed: {answer.content}")
    return answer.structuredContent


if __name__ == "__main__":
    asyncio.run(main())
