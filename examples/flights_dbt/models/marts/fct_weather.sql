with weather as (

    select * from {{ ref('stg_weather') }}

)

select
    *,
    -- the worst comes first: snow in fog is fog to a pilot
    case
        when visibility_miles < 1 then 'fog'
        when precipitation_inches > 0 and temperature_fahrenheit <= 32 then 'snow'
        when precipitation_inches > 0 then 'rain'
        when greatest(wind_speed_mph, wind_gust_mph) >= 25 then 'wind'
        else 'fair'
    end as weather_condition
from weather
