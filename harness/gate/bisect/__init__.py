"""Which commit or release made a case slower."""
