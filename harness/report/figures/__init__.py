"""Charts: pure functions from a data frame to a Plotly figure, as the plain dict that its JSON is.

Dicts rather than `plotly.graph_objects`, which validate for 10 ms and more per figure: a site has thousands of them.
The tests validate every kind.
"""
