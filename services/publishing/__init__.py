"""Judged candidates in Elasticsearch, where people look at them with Kibana."""
