"""The modules that a node can host, in the order data passes."""
