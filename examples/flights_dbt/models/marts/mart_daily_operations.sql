with flights as (

    select * from {{ ref('fct_flights') }}

)

select
    flight_date,
    origin_code,
    count(*) as flights,
    count(*) filter (where flight_status = 'cancelled') as cancelled_flights,
    count(*) filter (where flight_status = 'diverted') as diverted_flights,
    {{ share('is_on_time') }} as on_time_share,
    round(avg(departure_delay_minutes), 1) as avg_departure_delay_minutes,
    max(departure_delay_minutes) as max_departure_delay_minutes
from flights
group by all
order by flight_date, origin_code
