with flights as (

    select * from {{ ref('fct_flights') }}

),

weather as (

    select * from {{ ref('fct_weather') }}

)

select
    flights.origin_code,
    coalesce(weather.weather_condition, 'unknown') as weather_condition,
    count(*) as flights,
    {{ share('flights.is_on_time') }} as on_time_share,
    {{ share("flights.flight_status = 'cancelled'") }} as cancelled_share,
    round(avg(flights.departure_delay_minutes), 1) as avg_departure_delay_minutes
from flights
left join weather
    on flights.origin_code = weather.airport_code
    and flights.scheduled_hour = weather.observed_hour
group by all
order by flights.origin_code, avg_departure_delay_minutes desc
