{{ config(tags=['marts'], store_failures=true) }}

select
    flight_id,
    scheduled_departure_at,
    departure_delay_minutes,
    departed_at,
    departure_time
from {{ ref('fct_flights') }}
where departed_at::time != departure_time
