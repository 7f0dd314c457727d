"""Floor of the house: domain types, event schema, settings, errors, clock, metrics, logging, health."""
