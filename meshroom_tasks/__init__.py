"""Photos in, textured 3D mesh out: the service without HTTP."""
