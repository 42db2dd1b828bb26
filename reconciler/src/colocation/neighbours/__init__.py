"""What else runs in a cluster and would harm best-effort pods: descheduler, Volcano, scalers, Kyverno, Karmada. Pure.

The collection's preflight uses copies of these files (`make generate`): Python 3.9 syntax, no import but of each other
and of the names. YAML is read by the caller's ``load``, which raises ValueError for a text that is none.
"""
