{% macro clock_time(column) -%}
    make_time(if({{ column }} = 2400, 0, {{ column }} // 100), {{ column }} % 100, 0)
{%- endmacro %}
