"""The dashboard: a static site from what is stored, and single charts for papers and slides."""
