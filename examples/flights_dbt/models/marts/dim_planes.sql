with planes as (

    select * from {{ ref('stg_planes') }}

),

manufacturers as (

    select * from {{ ref('manufacturer_names') }}

)

select
    planes.tail_number,
    coalesce(manufacturers.manufacturer, planes.registered_manufacturer) as manufacturer,
    planes.plane_model,
    planes.plane_type,
    planes.year_made,
    planes.engine_count,
    planes.engine_type,
    planes.seat_count
from planes
left join manufacturers
    on planes.registered_manufacturer = manufacturers.registered_name
