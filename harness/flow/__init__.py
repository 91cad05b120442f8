"""From a request to stored results: plan, build, measure, evaluate, store."""
