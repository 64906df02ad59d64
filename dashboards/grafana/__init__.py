"""Grafana as code: dashboards and provisioning from the facility and the rules in the configuration."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # The SDK prefers the second model; the classic one is taken on purpose, as every Grafana in use reads it from files.
    warnings.simplefilter("ignore", DeprecationWarning)
    import grafana_foundation_sdk.builders.dashboard  # the warning is given once, at the first import
    import grafana_foundation_sdk.models.dashboardv2beta1  # noqa: F401
