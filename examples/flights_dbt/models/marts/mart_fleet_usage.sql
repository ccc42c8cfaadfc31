with flights as (

    select * from {{ ref('fct_flights') }}
    where flight_status != 'cancelled'

),

planes as (

    select * from {{ ref('dim_planes') }}

)

select
    planes.manufacturer,
    planes.plane_model,
    count(distinct planes.tail_number) as planes,
    count(*) as flights,
    sum(planes.seat_count)::bigint as seats_flown,
    sum(flights.distance_miles)::bigint as miles_flown,
    round(avg(year(flights.flight_date) - planes.year_made), 1) as avg_plane_age_years
from flights
inner join planes using (tail_number)
group by all
order by flights desc
