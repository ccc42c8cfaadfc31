select
    carrier_code,
    carrier_name,
    -- "Delta Air Lines Inc." is "Delta Air Lines" to everybody but its lawyers
    regexp_replace(carrier_name, ' (Inc\.|Corporation|Co\.)$', '') as short_name
from {{ ref('stg_airlines') }}
