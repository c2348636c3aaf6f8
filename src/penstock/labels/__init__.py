"""Labels: what came of each (entity, `as_of`), from `pending` to `matured`, perhaps `revised`, or `censored`."""
