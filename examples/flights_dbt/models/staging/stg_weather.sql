select
    concat_ws('-', origin, {{ utc_hour('time_hour') }}) as weather_id,
    origin as airport_code,
    time_hour as observed_hour,

    temp as temperature_fahrenheit,
    dewp as dew_point_fahrenheit,
    humid as humidity_percent,
    wind_dir as wind_direction_degrees,
    -- the fastest gust ever measured was 253 mph: the report of 1,048 at EWR is an error
    if(wind_speed <= 253, wind_speed, null) as wind_speed_mph,
    wind_gust as wind_gust_mph,
    precip as precipitation_inches,
    pressure as pressure_millibars,
    visib as visibility_miles
from {{ source('raw', 'weather') }}
