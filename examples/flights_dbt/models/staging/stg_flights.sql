select
    concat_ws('-', carrier, flight, origin, {{ utc_hour('time_hour') }}) as flight_id,
    carrier as carrier_code,
    flight as flight_number,
    tailnum as tail_number,
    origin as origin_code,
    dest as destination_code,

    make_date(year, month, day) as flight_date,
    time_hour as scheduled_hour,
    {{ clock_time('sched_dep_time') }} as scheduled_departure_time,
    {{ clock_time('dep_time') }} as departure_time,
    {{ clock_time('sched_arr_time') }} as scheduled_arrival_time,
    {{ clock_time('arr_time') }} as arrival_time,

    dep_delay as departure_delay_minutes,
    arr_delay as arrival_delay_minutes,
    air_time as air_time_minutes,
    distance as distance_miles
from {{ source('raw', 'flights') }}
