with flights as (

    select * from {{ ref('fct_flights') }}

),

carriers as (

    select * from {{ ref('dim_carriers') }}

)

select
    carriers.carrier_code,
    carriers.short_name as carrier,
    count(*) as flights,
    {{ share('flights.is_on_time') }} as on_time_share,
    {{ share("flights.flight_status = 'cancelled'") }} as cancelled_share,
    round(avg(flights.departure_delay_minutes), 1) as avg_departure_delay_minutes,
    round(avg(flights.arrival_delay_minutes), 1) as avg_arrival_delay_minutes,
    quantile_disc(flights.arrival_delay_minutes, 0.9) as p90_arrival_delay_minutes
from flights
inner join carriers using (carrier_code)
group by all
order by on_time_share desc
