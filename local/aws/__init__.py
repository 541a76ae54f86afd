"""The embedded AWS: the synthesized stack, its real definition and its real handlers, on this machine."""
