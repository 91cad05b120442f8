"""What executes an artifact: environments, the worker protocol, and one folder per runtime."""
