{% macro share(condition) -%}
    round(count(*) filter (where {{ condition }}) / count(*), 4)
{%- endmacro %}
