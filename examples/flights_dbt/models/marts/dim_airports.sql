with airports as (

    select * from {{ ref('stg_airports') }}
    union all by name
    select * from {{ ref('island_airports') }}

)

select
    airport_code,
    airport_name,
    latitude,
    longitude,
    altitude_feet,
    time_zone,
    airport_code in ('EWR', 'JFK', 'LGA') as is_new_york
from airports
