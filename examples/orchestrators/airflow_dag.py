from datetime import datetime, timedelta

import shop
from airflow.sdk import dag, task


@dag(schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False)
def shop_daily() -> None:
    @task
    def load() -> None:
        shop.load()

    # longer than the `timeout` of the helper, which is an hour
    @task(retries=2, retry_delay=timedelta(seconds=10), execution_timeout=timedelta(minutes=70))
    def build() -> int | None:
        return shop.build()

    @task
    def load_results(dbt_run: int | None) -> None:  # `run_id` is Airflow's own
        shop.load_results(dbt_run)

    built = build()
    load() >> built
    load_results(built)


shop_daily()
