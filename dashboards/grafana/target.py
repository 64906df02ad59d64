"""Which Grafana the dashboards are for, and the names by which its parts find one another."""

from __future__ import annotations

GRAFANA_VERSION = "12.4.11"
"""The dashboards are in the classic model of this version, which later ones read too. deploy/ and the tests go by this number.

From 13.2 on the data source for InfluxDB is no part of Grafana but a plugin beside it, which a site without internet has to look after.
"""
FOLDER, FOLDER_UID = "Renrum", "renrum"
INFLUXDB, PROMETHEUS = "renrum-influxdb", "renrum-prometheus"
"""The uids of the data sources."""
TOKEN_VARIABLE = "RENRUM_GRAFANA_INFLUX_TOKEN"  # the name of a variable
