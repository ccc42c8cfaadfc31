with flights as (

    select * from {{ ref('stg_flights') }}

),

timed as (

    select
        *,
        flight_date + scheduled_departure_time as scheduled_departure_at,
        case
            when departure_time is null then 'cancelled'
            when arrival_delay_minutes is null then 'diverted'
            else 'arrived'
        end as flight_status
    from flights

)

select
    flight_id,
    carrier_code,
    flight_number,
    tail_number,
    origin_code,
    destination_code,
    origin_code || '-' || destination_code as route,

    flight_status,
    flight_date,
    scheduled_hour,
    scheduled_departure_at,
    scheduled_departure_at + to_minutes(departure_delay_minutes) as departed_at,
    departure_time,

    departure_delay_minutes,
    arrival_delay_minutes,
    coalesce(arrival_delay_minutes < {{ var('on_time_minutes') }}, false) as is_on_time,
    air_time_minutes,
    distance_miles
from timed
