"""Named Flux queries on what the feed writes: each has a name, its text and what it was asked for.

The texts are those that Grafana sends: `v.timeRangeStart`, `v.timeRangeStop`, `v.windowPeriod`, `v.defaultBucket` and the variable
`${point:regex}` (the points chosen on the dashboard) are filled in by whoever runs them.
"""
