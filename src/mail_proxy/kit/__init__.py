"""General parts that know nothing about mail: clock, ids, bus, loops, batching."""
