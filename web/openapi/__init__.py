"""The OpenAPI document: what APIFlask collects from the routes, completed."""
