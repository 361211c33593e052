"""What user code touches: the `fox` object, proxies, groups, apps and the Client API."""
