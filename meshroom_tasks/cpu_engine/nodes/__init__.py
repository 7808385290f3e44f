"""One file a node type. Modules here import no numeric library at the top, so that planning stays fast."""
