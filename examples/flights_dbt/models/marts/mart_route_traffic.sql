with flights as (

    select * from {{ ref('fct_flights') }}

),

airports as (

    select * from {{ ref('dim_airports') }}

)

select
    flights.route,
    flights.origin_code,
    flights.destination_code,
    airports.airport_name as destination,
    airports.latitude as destination_latitude,
    airports.longitude as destination_longitude,
    count(*) as flights,
    count(distinct flights.carrier_code) as carriers,
    max(flights.distance_miles) as distance_miles,
    round(avg(flights.air_time_minutes), 1) as avg_air_time_minutes,
    {{ share('flights.is_on_time') }} as on_time_share
from flights
inner join airports
    on flights.destination_code = airports.airport_code
group by all
order by flights desc
