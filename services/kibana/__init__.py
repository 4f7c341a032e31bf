"""Data views, saved searches and dashboards for Kibana, from the declarations in es_mappings/kibana."""
