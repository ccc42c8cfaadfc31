select
    tailnum as tail_number,
    type as plane_type,
    manufacturer as registered_manufacturer,
    model as plane_model,
    year as year_made,
    engines as engine_count,
    engine as engine_type,
    seats as seat_count
from {{ source('raw', 'planes') }}
