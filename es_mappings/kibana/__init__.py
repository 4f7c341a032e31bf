"""Kibana's objects as declarations; `services.kibana` makes from them what Kibana imports."""
