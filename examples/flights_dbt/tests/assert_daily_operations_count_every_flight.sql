{{ config(tags=['marts'], store_failures=true) }}

with counted as (

    select flight_date, sum(flights) as flights
    from {{ ref('mart_daily_operations') }}
    group by all

),

flown as (

    select flight_date, count(*) as flights
    from {{ ref('fct_flights') }}
    group by all

)

select
    flight_date,
    counted.flights as counted_flights,
    flown.flights as flown_flights
from counted
full join flown using (flight_date)
where counted.flights is distinct from flown.flights
