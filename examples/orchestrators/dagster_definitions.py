import dagster as dg
import shop


@dg.asset
def orders() -> None:
    shop.load()


@dg.asset(deps=[orders], retry_policy=dg.RetryPolicy(max_retries=2, delay=10))
def dbt_models() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"run_id": shop.build()})


@dg.asset(deps=[dbt_models])
def dbt_results(context: dg.AssetExecutionContext) -> None:
    event = context.instance.get_latest_materialization_event(dbt_models.key)
    materialization = event.asset_materialization if event else None
    if materialization:
        shop.load_results(materialization.metadata["run_id"].value)


shop_job = dg.define_asset_job("shop_daily", tags={"dagster/max_runtime": 4500})
defs = dg.Definitions(
    assets=[orders, dbt_models, dbt_results],
    jobs=[shop_job],
    schedules=[dg.ScheduleDefinition(job=shop_job, cron_schedule="0 3 * * *")],
)
