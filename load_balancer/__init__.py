"""Assignment, proxy, upstream health, exposures (data plane); release pages and admin (control plane)."""
