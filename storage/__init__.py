"""Tables and migrations, interactions, videos, exposures, releases, serving store, event log, bundle store."""
