"""What goes over the wire, as pydantic models; they are also the schemas of the OpenAPI document."""
