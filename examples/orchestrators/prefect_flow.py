import shop
from prefect import flow, task


@task
def load() -> None:
    shop.load()


# longer than the `timeout` of the helper, which is an hour
@task(retries=2, retry_delay_seconds=10, timeout_seconds=4200)
def build() -> int | None:
    return shop.build()


@task
def load_results(run_id: int | None) -> None:
    shop.load_results(run_id)


@flow
def shop_daily() -> int | None:
    load()
    run_id: int | None = build()
    load_results(run_id)
    return run_id


if __name__ == "__main__":
    shop_daily()
