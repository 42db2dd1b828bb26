"""`make demo`: a real cluster, the real roll-out, and offline work beside an online service, live."""
