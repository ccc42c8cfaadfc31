"""dbt's own formats: commands, manifests and selections."""
