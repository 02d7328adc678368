"""Architectures as values: what spaces and tables both know. Import from the modules."""
