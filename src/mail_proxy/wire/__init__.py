"""JSON shapes of REST and of the sync protocol. The only home of wire names."""
