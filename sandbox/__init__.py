"""A local venue that speaks the real venues' protocols, from captures or generated."""
