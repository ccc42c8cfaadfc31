{% macro utc_hour(instant) -%}
    strftime({{ instant }} at time zone 'UTC', '%Y%m%dT%HZ')
{%- endmacro %}
