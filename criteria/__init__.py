"""What training minimises; nearest neighbours."""
