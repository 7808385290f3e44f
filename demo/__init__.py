"""A complete reconstruction on this machine, measured against known geometry."""
