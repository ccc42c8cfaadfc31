-- Queries on the tables that `dbt_cloud_results` loads, written for DuckDB. Run them in the dataset
-- of these tables. Other warehouses may have another syntax for intervals, `date_trunc` and
-- `WITH RECURSIVE`. Replace `fct_flights`, `raw` and `weather` by your own model, dataset and table.

-- Which load fed this model, and when?
SELECT
    results.name AS model,
    loads.load_id,
    loads.inserted_at AS loaded_at,
    results.completed_at AS built_at,
    results.status,
    runs.href AS run
FROM dbt_node_results AS results
INNER JOIN dbt_runs AS runs ON results.run_id = runs.run_id
INNER JOIN dbt_run_loads AS bound ON results.run_id = bound.run_id
INNER JOIN _dlt_loads AS loads ON bound.load_id = loads.load_id
WHERE results.resource_type = 'model' AND results.name = 'fct_flights'
ORDER BY loads.inserted_at DESC, results.completed_at DESC;

-- What failed most this month?
SELECT
    results.resource_type,
    results.name,
    count(*) AS failures,
    max(runs.finished_at) AS last_failed_at,
    max(results.path) AS path
FROM dbt_node_results AS results
INNER JOIN dbt_runs AS runs ON results.run_id = runs.run_id
WHERE
    results.status IN ('error', 'fail', 'runtime error', 'partial success')
    AND runs.created_at >= date_trunc('month', current_timestamp)
GROUP BY results.resource_type, results.name
ORDER BY failures DESC, results.name
LIMIT 20;

-- Which models are the slowest, and are they getting slower?
SELECT
    results.name AS model,
    count(*) AS runs,
    avg(results.execution_time) AS seconds,
    avg(CASE WHEN results.completed_at >= current_timestamp - INTERVAL '7 days'
        THEN results.execution_time END) AS seconds_this_week,
    avg(CASE WHEN results.completed_at < current_timestamp - INTERVAL '7 days'
        THEN results.execution_time END) AS seconds_before
FROM dbt_node_results AS results
WHERE
    results.resource_type = 'model'
    AND results.status = 'success'
    AND results.completed_at >= current_timestamp - INTERVAL '35 days'
GROUP BY results.name
ORDER BY seconds DESC
LIMIT 20;

-- Which tests warn?
WITH newest AS (
    SELECT
        results.*,
        row_number() OVER (
            PARTITION BY runs.environment_id, results.unique_id
            ORDER BY results.run_id DESC, results.step_index DESC
        ) AS age
    FROM dbt_node_results AS results
    INNER JOIN dbt_runs AS runs ON results.run_id = runs.run_id
    WHERE results.resource_type = 'test'
)

SELECT name AS test, failures AS failing_rows, message, completed_at, path
FROM newest
WHERE age = 1 AND status = 'warn'
ORDER BY failures DESC, name;

-- Which sources were not loaded for a day? (Jobs have to run `dbt source freshness`.)
WITH newest AS (
    SELECT
        freshness.*,
        row_number() OVER (
            PARTITION BY runs.environment_id, freshness.unique_id
            ORDER BY freshness.snapshotted_at DESC
        ) AS age
    FROM dbt_source_freshness AS freshness
    INNER JOIN dbt_runs AS runs ON freshness.run_id = runs.run_id
)

SELECT unique_id AS source, max_loaded_at, snapshotted_at, status, message
FROM newest
WHERE
    age = 1
    AND (max_loaded_at IS NULL OR max_loaded_at < current_timestamp - INTERVAL '1 day')
ORDER BY max_loaded_at;

-- What is downstream of this dlt table? Nodes of the newest run are current.
WITH RECURSIVE nodes AS (
    SELECT
        *,
        rank() OVER (PARTITION BY environment_id ORDER BY last_run_id DESC) AS age
    FROM dbt_nodes
),

parents AS (
    SELECT
        *,
        rank() OVER (PARTITION BY environment_id ORDER BY last_run_id DESC) AS age
    FROM dbt_node_parents
),

downstream AS (
    SELECT environment_id, unique_id
    FROM nodes
    WHERE age = 1 AND resource_type = 'source' AND schema = 'raw' AND identifier = 'weather'
    UNION
    SELECT parents.environment_id, parents.unique_id
    FROM downstream
    INNER JOIN parents
        ON downstream.environment_id = parents.environment_id
        AND downstream.unique_id = parents.parent_unique_id
    WHERE parents.age = 1
)

SELECT nodes.resource_type, nodes.name, nodes.relation_name, nodes.description
FROM nodes
INNER JOIN downstream
    ON nodes.environment_id = downstream.environment_id
    AND nodes.unique_id = downstream.unique_id
WHERE nodes.age = 1 AND nodes.resource_type NOT IN ('source', 'test', 'unit_test')
ORDER BY nodes.resource_type, nodes.name;
