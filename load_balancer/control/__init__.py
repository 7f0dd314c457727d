"""Control plane: the operator's pages and the admin API. Reads and writes through `storage` alone."""
